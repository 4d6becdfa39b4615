// The walk of one tile through time, compiled once for every instruction set (INDRNN_LEVEL names it).
//
// Nothing here may call an inline function of the standard library: the linker keeps one copy of such a function,
// and that one may be of an instruction set that the processor at hand lacks.
#include <math.h>

#include "cpu.h"

#ifndef INDRNN_LEVEL
#define INDRNN_LEVEL baseline
#endif
#define INDRNN_TEXT_(name) #name
#define INDRNN_TEXT(name) INDRNN_TEXT_(name)

namespace indrnn {
namespace {

#if defined(__AVX512F__)
constexpr int BYTES = 64;  // of a vector
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

// A narrow tile walks all of time strip by strip, the state in registers; a wide one a few steps at a time, which
// reads its rows as long runs. Two threads that write wider strips of one row hold each other up.
constexpr int64_t NARROW = 256;  // columns
constexpr int NARROW_VECTORS = 2, WIDE_VECTORS = 4;
constexpr int64_t ROWS = 4;  // steps at a time
constexpr int64_t SUM = 32;  // products of du that are summed as they are; such sums add up in double

// Vectors of the compiler; N == sizeof(S) is one number.
template <class S, int N> struct VectorOf {
    typedef S type __attribute__((vector_size(N)));
};
template <> struct VectorOf<float, 4> {
    typedef float type;
};
template <> struct VectorOf<uint32_t, 4> {
    typedef uint32_t type;
};
template <> struct VectorOf<double, 8> {
    typedef double type;
};
template <class S, int N> using Vector = typename VectorOf<S, N>::type;

template <class V, class S> INDRNN_FN V load(const S* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class V, class S> INDRNN_FN void store(S* to, V v) { __builtin_memcpy(to, &v, sizeof v); }

// ---- tanh ----

// float: Cephes' tanhf and expf (S. Moshier), which vectors can follow, as it has no branch; within 2 units in the
// last place. NaN stays NaN, since it is above nothing and below nothing.
template <int N> INDRNN_FN Vector<float, N> hyperbolic_tangent(Vector<float, N> v) {
    using V = Vector<float, N>;
    using Bits = Vector<uint32_t, N>;
    const V zero{}, size = v < zero ? -v : v, square = v * v;
    V near = square * -5.70498872745e-3f + 2.06390887954e-2f;
    near = near * square - 5.37397155531e-2f;
    near = near * square + 1.33314422036e-1f;
    near = near * square - 3.33332819422e-1f;
    near = near * square * v + v;

    // 1 - 2 / (e^y + 1), y = 2|v|; e^y = 2^n e^r with |r| <= ln(2) / 2. From |v| = 9.1 on it is 1 in float.
    const V nine = zero + 9.1f, y = (size > nine ? nine : size) * 2.0f;
    const V shifted = y * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the lowest bits are now n
    const V n = shifted - 12582912.0f;
    const V r = y - n * 0.693359375f + n * 2.12194440e-4f;
    V e = r * 1.9875691500e-4f + 1.3981999507e-3f;
    e = e * r + 8.3334519073e-3f;
    e = e * r + 4.1665795894e-2f;
    e = e * r + 1.6666665459e-1f;
    e = e * r + 5.0000001201e-1f;
    e = e * (r * r) + r + 1.0f;
    Bits bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000;
    V power;
    __builtin_memcpy(&power, &bits, sizeof power);
    const V far = 1.0f - 2.0f / (e * power + 1.0f);
    return size < zero + 0.625f ? near : v < zero ? -far : far;
}

template <class S, int N> INDRNN_FN Vector<S, N> tanh_of(Vector<S, N> v) {
    if constexpr (sizeof(S) == sizeof(float)) {
        return hyperbolic_tangent<N>(v);
    } else {
        S lanes[N / sizeof(S)];
        __builtin_memcpy(lanes, &v, sizeof v);
        for (S& lane : lanes) lane = ::tanh(lane);
        return load<Vector<S, N>>(lanes);
    }
}

template <int A, class S, int N> INDRNN_FN Vector<S, N> activate(Vector<S, N> v) {
    if constexpr (A == RELU) return relu(v);
    if constexpr (A == TANH) return tanh_of<S, N>(v);
    return v;
}

// ---- Strips: K vectors side by side, from one step up to another ----

template <int A, class S, int N, int K>
void strip(const Forward<S>& f, int64_t column, int64_t from, int64_t to, S* state) {
    using V = Vector<S, N>;
    constexpr int LANES = N / sizeof(S);
    V h[K], u[K];
    for (int k = 0; k < K; ++k) {
        h[k] = load<V>(state + column + k * LANES);
        u[k] = load<V>(f.u + column + k * LANES);
    }
    const S* x_row = f.x + from * f.x_step + column;
    S* h_row = f.h + from * f.h_step + column;
    for (int64_t t = from; t < to; ++t, x_row += f.x_step, h_row += f.h_step) {
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) {
            h[k] = activate<A, S, N>(load<V>(x_row + k * LANES) + u[k] * h[k]);
            store(h_row + k * LANES, h[k]);
        }
    }
    for (int k = 0; k < K; ++k) store(state + column + k * LANES, h[k]);
}

// `d` is dx of the step walked before (the later one), `sum` that of dx_t * h_{t-1}.
template <int A, class S, int N, int K>
void strip(const Backward<S>& f, int64_t column, int64_t from, int64_t to, S* d_state, S* sum) {
    using V = Vector<S, N>;
    constexpr int LANES = N / sizeof(S);
    V d[K], s[K], u[K], h[K];
    const S* g_row = f.g + from * f.g_step + column;
    const S* h_row = f.h + from * f.h_step + column;
    S* dx_row = f.dx + from * f.dx_step + column;
    for (int k = 0; k < K; ++k) {
        d[k] = load<V>(d_state + column + k * LANES);
        s[k] = load<V>(sum + column + k * LANES);
        u[k] = load<V>(f.u + column + k * LANES);
        h[k] = load<V>(h_row + k * LANES);
    }
    for (int64_t t = from; t < to; ++t, g_row += f.g_step, dx_row += f.dx_step) {
        h_row += f.h_step;
        const S* before = t + 1 < f.steps ? h_row : f.h0 + column;
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) {
            V h_before = load<V>(before + k * LANES);
            d[k] = through<A>(load<V>(g_row + k * LANES) + u[k] * d[k], h[k]);
            store(dx_row + k * LANES, d[k]);
            s[k] += d[k] * h_before;
            h[k] = h_before;
        }
    }
    for (int k = 0; k < K; ++k) {
        store(d_state + column + k * LANES, d[k]);
        store(sum + column + k * LANES, s[k]);
    }
}

// All columns of a tile, in strips of the widest vectors that still fit.
template <int A, class S, int N, int K, class Call, class... State>
INDRNN_FN void strips(int64_t& column, const Call& f, State... state) {
    for (constexpr int LANES = N / sizeof(S); column + K * LANES <= f.width; column += K * LANES)
        strip<A, S, N, K>(f, column, state...);
}

template <int A, class S, int K, class Call, class... State> void rows(const Call& f, State... state) {
    int64_t column = 0;
    strips<A, S, BYTES, K>(column, f, state...);
    strips<A, S, BYTES, 1>(column, f, state...);
    if constexpr (BYTES > 32) strips<A, S, 32, 1>(column, f, state...);
    if constexpr (BYTES > 16) strips<A, S, 16, 1>(column, f, state...);
    strips<A, S, sizeof(S), 1>(column, f, state...);
}

// ---- Tiles ----

template <int A, class S> void walk(const Forward<S>& f) {
    alignas(64) S state[TILE];
    for (int64_t i = 0; i < f.width; ++i) state[i] = f.h0[i];
    const bool narrow = f.width <= NARROW;
    const int64_t most = narrow ? f.steps : ROWS;
    for (int64_t from = 0, to; from < f.steps; from = to) {
        to = from + most < f.steps ? from + most : f.steps;
        narrow ? rows<A, S, NARROW_VECTORS>(f, from, to, state) : rows<A, S, WIDE_VECTORS>(f, from, to, state);
    }
}

template <int A, class S> void walk(const Backward<S>& f) {
    alignas(64) S d[TILE], sum[TILE];
    double total[TILE];
    for (int64_t i = 0; i < f.width; ++i) d[i] = total[i] = 0;
    const bool narrow = f.width <= NARROW;
    const int64_t most = narrow ? SUM : ROWS;
    for (int64_t from = 0, to; from < f.steps; from = to) {
        to = from + most < f.steps ? from + most : f.steps;
        if (from % SUM == 0)
            for (int64_t i = 0; i < f.width; ++i) sum[i] = 0;
        narrow ? rows<A, S, NARROW_VECTORS>(f, from, to, d, sum) : rows<A, S, WIDE_VECTORS>(f, from, to, d, sum);
        if (to % SUM == 0 || to == f.steps)
            for (int64_t i = 0; i < f.width; ++i) total[i] += sum[i];
    }
    for (int64_t i = 0; i < f.width; ++i) {
        f.du[i] = S(total[i]);
        f.dh0[i] = d[i] * f.u[i];
    }
}

template <class Call> void walk_any(const Call& f) {
    if (f.activation == RELU) return walk<RELU>(f);
    if (f.activation == TANH) return walk<TANH>(f);
    walk<IDENTITY>(f);
}

}  // namespace

extern const Level INDRNN_LEVEL;
const Level INDRNN_LEVEL = {INDRNN_TEXT(INDRNN_LEVEL),
                            {walk_any<Forward<float>>, walk_any<Backward<float>>},
                            {walk_any<Forward<double>>, walk_any<Backward<double>>}};

}  // namespace indrnn
