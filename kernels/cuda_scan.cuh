// Part of cuda.cu: the scan over time, for few columns and many steps. ReLU and identity: tanh has no summary of
// a few numbers.
//
//   summary_*  one thread a column and a chunk of the walk: the chunk as a map of what goes into it
//   chain_*    one thread a column: what goes into every chunk, from chunk to chunk
//   column_*   with more than one chunk: every chunk walked from there, which writes the results
//
// A summary is needed only where a chunk follows, so each is of exactly `length` steps. What goes into the first
// chunk is known: it is walked with that, and hands on its one result.
#pragma once

#if INDRNN_ACTIVATION != 1

constexpr int FIELDS = ACTIVATION == RELU ? 3 : 1;  // of a forward summary: a, e0, e1
constexpr int BACKWARD_FIELDS = 2;                  // the carry, and 1 where nothing stops what comes in
constexpr int CHAIN_AHEAD = 8;

DEVICE bool summarised(const Problem& p, const Column& c, Index chunk) {
    return (chunk + 1) * p.length < c.steps && scans(c.u, p.length);
}

DEVICE float* summary_at(const Problem& p, int fields, Index chunk, int field, Index column) {
    return p.summary_kfbh + (chunk * fields + field) * p.B * p.H + column;
}

KERNEL(COLUMN_THREADS) summary_forward(const Problem p) {
    const Index index = (Index)blockIdx.x * COLUMN_THREADS + threadIdx.x, chunk = blockIdx.y;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    if (!summarised(p, c, chunk)) return;
    const Walk x = walk(c, p.x_t, p.x_b, p.reverse);
    // h0 of any sign goes into the first step: behind it the state is >= 0, as a summary asks.
    const float start = chunk == 0 ? c.u * widen(p.h0_bh[index]) : 0;
    Summary<float> f = {};
    bool begun = false;
    Source<Store> source[1] = {{p.x_tbh + x.first + chunk * p.length * x.stride, x.stride}};
    stream<AHEAD>(source, p.length, [&](const float(&v)[1], bool) {
        f = begun ? extend(f, v[0], c.u) : begin(v[0] + start, c.u, __uint_as_float(0x7f800000));
        begun = true;
    });
    *summary_at(p, FIELDS, chunk, 0, index) = f.a;
    if (ACTIVATION == RELU) {
        *summary_at(p, FIELDS, chunk, 1, index) = f.e0;
        *summary_at(p, FIELDS, chunk, 2, index) = f.e1;
    }
}

KERNEL(COLUMN_THREADS) summary_backward(const Problem p) {
    const Index index = (Index)blockIdx.x * COLUMN_THREADS + threadIdx.x, chunk = blockIdx.y;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    if (!summarised(p, c, chunk)) return;
    const Walk h = walk(c, p.h_t, p.h_b, !p.reverse), grad = walk(c, p.grad_t, p.grad_b, !p.reverse);
    float carry = chunk == 0 && p.grad_last_bh ? widen(p.grad_last_bh[index]) : 0;
    bool open = true;  // no step of the chunk stops what comes in
    const Index from = chunk * p.length;
    Source<Store> sources[2] = {{p.grad_h_tbh + grad.first + from * grad.stride, grad.stride},
                                {p.h_tbh + h.first + from * h.stride, h.stride}};
    stream<AHEAD / 2>(sources, p.length, [&](const float(&v)[2], bool) {
        carry = c.u * through<ACTIVATION>(v[0] + carry, v[1]);
        if (ACTIVATION == RELU) open = open && v[1] > 0;
    });
    *summary_at(p, BACKWARD_FIELDS, chunk, 0, index) = carry;
    *summary_at(p, BACKWARD_FIELDS, chunk, 1, index) = open ? 1.0f : 0.0f;
}

// Calls body(a summary's fields) for every chunk that another one follows; what it returns goes into that one.
template <int N, class Body> DEVICE void chain(const Problem& p, Body body) {
    const Index index = (Index)blockIdx.x * COLUMN_THREADS + threadIdx.x, columns = p.B * p.H;
    if (index >= columns) return;
    const Column c = column_at(p, index);
    if (c.steps == 0 || !scans(c.u, p.length)) return;
    const double power = slope_power(c.u, p.length);
    float* start = p.start_kbh + columns + index;
    float state = 0;
    bool begun = false;
    Source<float> sources[N];
    for (int n = 0; n < N; ++n) sources[n] = {summary_at(p, N, 0, n, index), N * columns};
    stream<CHAIN_AHEAD>(sources, (c.steps - 1) / p.length, [&](const float(&v)[N], bool) {
        state = body(v, c.u, power, state, begun);
        begun = true;
        *start = state;
        start += columns;
    });
}

KERNEL(COLUMN_THREADS) chain_forward(const Problem p) {
    chain<FIELDS>(p, [](const float(&v)[FIELDS], float u, double power, float state, bool begun) {
        if (ACTIVATION == RELU) {
            const Summary<float> f = {v[0], v[FIELDS / 2], v[FIELDS - 1]};
            return begun ? apply(f, u, power, state) : f.e0;
        }
        return begun ? float(double(v[0]) + power * double(state)) : v[0];
    });
}

KERNEL(COLUMN_THREADS) chain_backward(const Problem p) {
    chain<BACKWARD_FIELDS>(p, [](const float(&v)[2], float, double power, float carry, bool begun) {
        return begun && v[1] > 0 ? float(double(v[0]) + power * double(carry)) : v[0];
    });
}

#endif
