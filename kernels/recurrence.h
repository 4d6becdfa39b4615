// The arithmetic of h_t = act(x_t + u * h_{t-1}) and of its gradient: one source for g++, nvcc and NVRTC.
//
// S is what the state is kept in: float, or double on a CPU that is given double, or a vector of either for relu
// and through. Storage may be narrower.
// Everything here is about one unit of one sequence; no function reads or writes memory or calls a library.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define INDRNN_FN __host__ __device__ __forceinline__
#else
#define INDRNN_FN inline __attribute__((always_inline))
#endif

namespace indrnn {

enum Activation { RELU = 0, TANH = 1, IDENTITY = 2 };

// max(0, v) that hands a NaN on, as torch.relu does: a comparison with NaN is false.
template <class S> INDRNN_FN S relu(S v) { return v < S{} ? S{} : v; }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <> __device__ __forceinline__ float relu<float>(float v) {  // one instruction instead of two
    float r;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(r) : "f"(v));
    return r;
}
#endif

// The slope of the activation where its output is h; 0 at the kink.
template <int ACTIVATION, class S> INDRNN_FN S through(S d, S h) {
    if (ACTIVATION == RELU) return h > S{} ? d : S{};
    if (ACTIVATION == TANH) return d * (1.0f - h * h);
    return d;
}

// ---- A chunk of steps as one map (ReLU; identity needs `a` alone) ----
//
// A ReLU step h -> max(0, x + u h) is a clamped affine map, and those are closed under composition: a bounded
// recurrence (Callahan 1991; Kogge 1974). On h >= 0 a chunk of L steps with one u is told by three runs and u^L:
// a, the linear run from 0; e0, the ReLU run from 0; e1, the ReLU run from +inf. No bound is ever infinite, so
// no 0 * inf arises. The state before the chunk must be >= 0 or NaN: fold another h0 into the first x.
template <class S> struct Summary {
    S a, e0, e1;
};

// The summary after a chunk's first step; the caller names +inf, for which NVRTC has no word.
template <class S> INDRNN_FN Summary<S> begin(S x, S u, S infinity) { return {x, relu(x), relu(x + u * infinity)}; }

// The summary after one more step.
template <class S> INDRNN_FN Summary<S> extend(Summary<S> f, S x, S u) {
    return {x + u * f.a, relu(x + u * f.e0), relu(x + u * f.e1)};
}

// The state behind a chunk that h goes into. `power` is u^L, in double: a product of float powers loses 12 times
// more. A NaN that only an inf - inf in the linear run makes falls back on the bounds, as in the loop.
template <class S> INDRNN_FN S apply(Summary<S> f, S u, double power, S h) {
    if (h != h) return h;
    if (f.e0 != f.e0) return f.e0;
    if (h - h != h - h) return f.e1;  // +inf goes in
    S y = S(double(f.a) + power * double(h));
    if (!(u < S(0))) return y > f.e0 ? y : f.e0;
    if (f.e1 != f.e1) return f.e0;  // a first x of +inf: any finite state is lost in it
    S low = f.e0 < f.e1 ? f.e0 : f.e1, high = f.e0 < f.e1 ? f.e1 : f.e0;
    y = y > low ? y : low;
    return y < high ? y : high;
}

// u^n by squaring. Never 0 unless u is: what it multiplies may be infinite.
INDRNN_FN double slope_power(double u, long long n) {
    double power = 1, least = u < 0 && (n & 1) ? -1e-300 : 1e-300;
    for (double square = u; n > 0; n >>= 1, square *= square) {
        if (n & 1) power *= square;
    }
    return power == 0 && u != 0 ? least : power;
}

}  // namespace indrnn
