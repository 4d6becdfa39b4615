// The recurrence h_t = act(x_t + u * h_{t-1}) on a GPU: compiled at run time, once per storage and activation.
//
// T steps, B sequences, H units; a column is one unit of one sequence, column = b * H + unit. Every thread owns
// columns and talks to no other thread: the bodies also run one after the other on a CPU, in the tests.
// A walk visits a column's steps in the order of computation: in time or, in reverse or in the gradient,
// against it. Steps behind a sequence's end come last in the walk and are filled with zeros.
//
//   column_*   one thread a column and a chunk of the walk; the loads of a group of steps run ahead
//   ring_*     one thread a 4-byte word of columns; asynchronous copies keep 112 steps in flight
//   summary_*, chain_*, then column_* from the states between the chunks: a scan over time, parallel and exact
//
// State and sums are float, or double where a sum is long; storage is float, bfloat16 or float16.
#include "recurrence.h"

#ifndef INDRNN_STORAGE
#define INDRNN_STORAGE 0  // 0 float, 1 bfloat16, 2 float16
#endif
#ifndef INDRNN_ACTIVATION
#define INDRNN_ACTIVATION 0  // indrnn::Activation
#endif
#define DEVICE __device__ __forceinline__
// At least 8 blocks a multiprocessor: 128 registers a thread in a block of 64.
#define KERNEL(THREADS) extern "C" __global__ void __launch_bounds__(THREADS, 8)

using namespace indrnn;
typedef long long Index;  // T * B * H passes 2^31
typedef unsigned int Word;

constexpr int ACTIVATION = INDRNN_ACTIVATION;
constexpr int COLUMN_THREADS = 64;  // small blocks: a few thousand columns still reach every multiprocessor
constexpr int AHEAD = 16;           // loads that a column thread issues before it needs them
constexpr int RING_THREADS = 32;
constexpr int GROUP = 16;       // steps copied and awaited together
constexpr int RING_GROUPS = 8;  // all but one in flight
constexpr double STEEPEST = 1e30;  // |u|^length of a chunk up to which float can hold a linear run

// ---- Storage ----

DEVICE float widen(float v) { return v; }

#if INDRNN_STORAGE == 0
typedef float Store;
DEVICE float narrow(float v) { return v; }
DEVICE Word bits_of(Store v) { return __float_as_uint(v); }
DEVICE Store store_of(Word bits) { return __uint_as_float(bits); }
#else
typedef unsigned short Store;
DEVICE Word bits_of(Store v) { return v; }
DEVICE Store store_of(Word bits) { return (Store)bits; }
#if INDRNN_STORAGE == 1
DEVICE float widen(Store v) { return __uint_as_float((Word)v << 16); }
DEVICE Store narrow(float v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    Store r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(v));
    return r;
#else
    Word bits = __float_as_uint(v);
    return v != v ? 0x7fff : (Store)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest, ties to even
#endif
}
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
DEVICE float widen(Store v) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v));
    return r;
}
DEVICE Store narrow(float v) {
    Store r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(v));
    return r;
}
#else
DEVICE float widen(Store v) { return shim::float_from_half(v); }
DEVICE Store narrow(float v) { return shim::half_from_float(v); }
#endif
#endif
constexpr int LANES = sizeof(Word) / sizeof(Store);  // columns of a word

// ---- Asynchronous copies of a thread to its own part of shared memory; only that thread waits for them ----

#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
using shim::commit_copies, shim::copy_async, shim::wait_copies;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
// Never chosen there, but the file compiles.
DEVICE void copy_async(Word* to, const Store* from) { *to = *(const Word*)from; }
DEVICE void commit_copies() {}
template <int PENDING> DEVICE void wait_copies() {}
#else
DEVICE void copy_async(Word* to, const Store* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;"
                 :: "r"((Word)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)) : "memory");
}
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> DEVICE void wait_copies() {
    asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory");
}
#endif

// ---- What a launch is told; every field has 8 bytes, in the order of FIELDS in cuda.py ----

struct Problem {
    const Store *x_tbh, *u_h, *h0_bh, *grad_h_tbh, *grad_last_bh;  // grad_last_bh may be null
    const Index* lengths_b;                                        // null: T steps each
    Store *h_tbh, *last_bh, *dx_tbh, *dh0_bh;                      // last_bh may be null
    float *du_kbh, *summary_kfbh, *start_kbh;                      // k chunks, f fields
    Index T, B, H, x_t, x_b, h_t, h_b, grad_t, grad_b, dx_t, dx_b;  // strides over t and b in elements; h has 1
    Index reverse, chunks, length;                                  // chunks of the walk, steps of each
};

struct Column {
    Index index, b, unit, steps;
    float u;
};

DEVICE Index least(Index a, Index b) { return a < b ? a : b; }

DEVICE Column column_at(const Problem& p, Index index) {
    Column c;
    c.index = index;
    // A 64-bit division costs as much as a dozen steps.
    c.b = (index | p.H) >> 32 ? index / p.H : (Index)((Word)index / (Word)p.H);
    c.unit = index - c.b * p.H;
    c.steps = p.T;
    if (p.lengths_b) c.steps = least(p.lengths_b[c.b] < 0 ? 0 : p.lengths_b[c.b], p.T);
    c.u = widen(p.u_h[c.unit]);
    return c;
}

// Where the walk's steps stand in a tensor: step r at `first + r * stride`.
struct Walk {
    Index first, stride;
};

DEVICE Walk walk(const Column& c, Index stride_t, Index stride_b, bool against_time) {
    Index origin = c.b * stride_b + c.unit;
    return against_time ? Walk{origin + (c.steps - 1) * stride_t, -stride_t} : Walk{origin, stride_t};
}

// Zeros for the part of the steps [from, to) that lies behind the sequence's end.
DEVICE void fill(Store* out, const Column& c, Index stride_t, Index stride_b, Index from, Index to) {
    for (Index t = from < c.steps ? c.steps : from; t < to; ++t) {
        out[c.b * stride_b + c.unit + t * stride_t] = narrow(0.0f);
    }
}

// Whether the walk of a column ends within [from, to).
DEVICE bool ends(const Column& c, Index from, Index to) {
    return c.steps == 0 ? from == 0 : from < c.steps && c.steps <= to;
}

// ---- One step ----

struct Forward {
    float u, state;
    DEVICE float step(float x) {
        float v = x + u * state;
        state = ACTIVATION == RELU ? relu(v) : ACTIVATION == TANH ? tanhf(v) : v;
        return state;
    }
};

struct Backward {
    float u, carry;  // carry: what the later step hands to this one's gradient
    float d = 0, sum = 0;
    double du = 0;
    bool begun = false;
    // `close` ends a short sum: du is summed in groups, each in float, and the groups in double.
    DEVICE float step(float grad, float h, bool close) {
        if (begun) sum += d * h;  // this h is where the step before in the walk started from
        if (close) du += sum, sum = 0;
        begun = true;
        d = through<ACTIVATION>(grad + carry, h);
        carry = u * d;
        return d;
    }
    DEVICE float finish(float before) {
        if (begun) sum += d * before;
        return (float)(du + sum);
    }
};

// ---- Loads of one group of steps in flight while the group before is computed ----

template <class Item> struct Source {
    const Item* at;
    Index stride;
};

template <bool FULL, int N, int DEPTH, class Item>
DEVICE void load(Item (&into)[N][DEPTH], Source<Item> (&from)[N], int left) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int j = 0; j < DEPTH; ++j) {
            if (FULL || j < left) into[n][j] = *from[n].at;
            from[n].at += from[n].stride;
        }
    }
}

// Calls body(values, whether a group begins) for every step. The loads are written before the stores of the body
// and may alias them as far as the compiler knows: it cannot move them behind.
template <int DEPTH, int N, class Item, class Body>
DEVICE void stream(Source<Item> (&from)[N], Index steps, Body body) {
    Item now[N][DEPTH] = {}, next[N][DEPTH] = {};
    int rest = (int)(steps % DEPTH);
    if (steps >= DEPTH) load<true>(now, from, DEPTH);
    else load<false>(now, from, rest);
#pragma unroll 1
    for (Index group = steps / DEPTH; group > 0; --group) {
        if (group > 1) load<true>(next, from, DEPTH);
        else load<false>(next, from, rest);
#pragma unroll
        for (int j = 0; j < DEPTH; ++j) {
            float values[N];
#pragma unroll
            for (int n = 0; n < N; ++n) values[n] = widen(now[n][j]);
            body(values, j == 0);
        }
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
            for (int j = 0; j < DEPTH; ++j) now[n][j] = next[n][j];
        }
    }
#pragma unroll
    for (int j = 0; j < DEPTH; ++j) {
        if (j >= rest) break;
        float values[N];
#pragma unroll
        for (int n = 0; n < N; ++n) values[n] = widen(now[n][j]);
        body(values, j == 0);
    }
}

// Whether the chunks of a column can be summed up; a column that is too steep, or no number, is walked by the
// thread of its first chunk alone.
DEVICE bool scans(float u, Index length) {
    double power = slope_power(u, length);
    return (power < 0 ? -power : power) <= STEEPEST;
}

// The steps a column thread walks; false if it has none.
DEVICE bool span(const Problem& p, const Column& c, Index chunk, Index& from, Index& to) {
    from = chunk * p.length;
    to = least(from + p.length, p.T);
    if (p.chunks == 1 || scans(c.u, p.length)) return true;
    to = p.T;
    return chunk == 0;
}

// ---- Column ----

KERNEL(COLUMN_THREADS) column_forward(const Problem p) {
    const Index index = (Index)blockIdx.x * COLUMN_THREADS + threadIdx.x, chunk = blockIdx.y;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    Index from, to;
    if (!span(p, c, chunk, from, to)) return;
    Forward f = {c.u, 0};
    if (chunk == 0) f.state = widen(p.h0_bh[index]);
    else if (from < c.steps) f.state = p.start_kbh[chunk * p.B * p.H + index];
    const Walk x = walk(c, p.x_t, p.x_b, p.reverse), h = walk(c, p.h_t, p.h_b, p.reverse);
    Store* out = p.h_tbh + h.first + from * h.stride;
    Source<Store> source[1] = {{p.x_tbh + x.first + from * x.stride, x.stride}};
    stream<AHEAD>(source, least(to, c.steps) - least(from, c.steps), [&](const float(&v)[1], bool) {
        *out = narrow(f.step(v[0]));
        out += h.stride;
    });
    if (p.last_bh && ends(c, from, to)) p.last_bh[index] = narrow(f.state);
    fill(p.h_tbh, c, p.h_t, p.h_b, from, to);
}

KERNEL(COLUMN_THREADS) column_backward(const Problem p) {
    const Index index = (Index)blockIdx.x * COLUMN_THREADS + threadIdx.x, chunk = blockIdx.y;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    Index from, to;
    float& du = p.du_kbh[chunk * p.B * p.H + index];
    if (!span(p, c, chunk, from, to)) {
        du = 0;
        return;
    }
    Backward f = {c.u, 0};
    if (chunk == 0) f.carry = p.grad_last_bh ? widen(p.grad_last_bh[index]) : 0;
    else if (from < c.steps) f.carry = p.start_kbh[chunk * p.B * p.H + index];
    const Walk h = walk(c, p.h_t, p.h_b, !p.reverse), grad = walk(c, p.grad_t, p.grad_b, !p.reverse);
    const Walk dx = walk(c, p.dx_t, p.dx_b, !p.reverse);
    Store* out = p.dx_tbh + dx.first + from * dx.stride;
    Source<Store> sources[2] = {{p.grad_h_tbh + grad.first + from * grad.stride, grad.stride},
                                {p.h_tbh + h.first + from * h.stride, h.stride}};
    stream<AHEAD / 2>(sources, least(to, c.steps) - least(from, c.steps), [&](const float(&v)[2], bool begins) {
        *out = narrow(f.step(v[0], v[1], begins));
        out += dx.stride;
    });
    du = f.finish(widen(to < c.steps ? p.h_tbh[h.first + to * h.stride] : p.h0_bh[index]));
    if (ends(c, from, to)) p.dh0_bh[index] = narrow(f.carry);
    fill(p.dx_tbh, c, p.dx_t, p.dx_b, from, to);
}

#include "cuda_ring.cuh"
#include "cuda_scan.cuh"
