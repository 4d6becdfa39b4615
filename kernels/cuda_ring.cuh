// Part of cuda.cu: columns whose steps go through a ring in shared memory, filled by asynchronous copies.
//
// For a few thousand columns registers cannot hold enough loads in flight to reach the memory's bandwidth. A word
// is 4 bytes, the least an asynchronous copy moves: one column of float, or two neighbours of a 2-byte storage,
// which asks for an even H, even strides and 4-byte alignment. A thread reads only what it copied itself, so no
// thread waits for another.
#pragma once

constexpr int RING_STEPS = GROUP * RING_GROUPS;
typedef Word Ring[RING_STEPS][RING_THREADS];

DEVICE float lane(Word word, int i) { return widen(store_of(word >> (LANES == 1 ? 0 : 16 * i))); }
DEVICE Word in_lane(float v, int i) { return bits_of(narrow(v)) << (LANES == 1 ? 0 : 16 * i); }

// Starts the copies of one group of steps; the next call starts those of the next one.
DEVICE void copy_group(Ring& ring, Source<Store>& from, Index group, Index steps) {
    Word(*slot)[RING_THREADS] = ring + group % RING_GROUPS * GROUP;
    const Index left = steps - group * GROUP;
#pragma unroll
    for (int j = 0; j < GROUP; ++j) {
        if (j < left) copy_async(&slot[j][threadIdx.x], from.at + j * from.stride);
    }
    from.at += GROUP * from.stride;
}

// Calls body(words, whether a group begins) for every step.
template <int N, class Body>
DEVICE void stream_words(Ring (&rings)[N], Source<Store> (&from)[N], Index steps, Body body) {
    for (int group = 0; group < RING_GROUPS - 1; ++group) {
#pragma unroll
        for (int n = 0; n < N; ++n) copy_group(rings[n], from[n], group, steps);
        commit_copies();
    }
    for (Index group = 0; group * GROUP < steps; ++group) {
        // Into the slot that the pass before has read to its end.
#pragma unroll
        for (int n = 0; n < N; ++n) copy_group(rings[n], from[n], group + RING_GROUPS - 1, steps);
        commit_copies();
        wait_copies<RING_GROUPS - 1>();
        // All reads of the slot before the first step: a step that waited for its own would take four times as long.
        Word words[GROUP][N];
        const int slot = (int)(group % RING_GROUPS) * GROUP;
#pragma unroll
        for (int j = 0; j < GROUP; ++j) {
#pragma unroll
            for (int n = 0; n < N; ++n) words[j][n] = rings[n][slot + j][threadIdx.x];
        }
        const Index left = steps - group * GROUP;
        if (left >= GROUP) {
#pragma unroll
            for (int j = 0; j < GROUP; ++j) body(words[j], j == 0);
        } else {
#pragma unroll
            for (int j = 0; j < GROUP; ++j) {
                if (j < left) body(words[j], j == 0);
            }
        }
    }
}

KERNEL(RING_THREADS) ring_forward(const Problem p) {
    __shared__ Ring rings[1];
    const Index index = ((Index)blockIdx.x * RING_THREADS + threadIdx.x) * LANES;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    Forward lanes[LANES];
#pragma unroll
    for (int i = 0; i < LANES; ++i) lanes[i] = {widen(p.u_h[c.unit + i]), widen(p.h0_bh[index + i])};
    const Walk x = walk(c, p.x_t, p.x_b, p.reverse), h = walk(c, p.h_t, p.h_b, p.reverse);
    Store* out = p.h_tbh + h.first;
    Source<Store> source[1] = {{p.x_tbh + x.first, x.stride}};
    stream_words(rings, source, c.steps, [&](const Word(&words)[1], bool) {
        Word result = 0;
#pragma unroll
        for (int i = 0; i < LANES; ++i) result |= in_lane(lanes[i].step(lane(words[0], i)), i);
        *(Word*)out = result;
        out += h.stride;
    });
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        if (p.last_bh) p.last_bh[index + i] = narrow(lanes[i].state);
        Column column = c;
        column.unit += i;
        fill(p.h_tbh, column, p.h_t, p.h_b, 0, p.T);
    }
}

KERNEL(RING_THREADS) ring_backward(const Problem p) {
    __shared__ Ring rings[2];
    const Index index = ((Index)blockIdx.x * RING_THREADS + threadIdx.x) * LANES;
    if (index >= p.B * p.H) return;
    const Column c = column_at(p, index);
    Backward lanes[LANES];
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        lanes[i] = {widen(p.u_h[c.unit + i]), p.grad_last_bh ? widen(p.grad_last_bh[index + i]) : 0};
    }
    const Walk h = walk(c, p.h_t, p.h_b, !p.reverse), grad = walk(c, p.grad_t, p.grad_b, !p.reverse);
    const Walk dx = walk(c, p.dx_t, p.dx_b, !p.reverse);
    Store* out = p.dx_tbh + dx.first;
    Source<Store> sources[2] = {{p.grad_h_tbh + grad.first, grad.stride}, {p.h_tbh + h.first, h.stride}};
    stream_words(rings, sources, c.steps, [&](const Word(&words)[2], bool begins) {
        Word result = 0;
#pragma unroll
        for (int i = 0; i < LANES; ++i) {
            result |= in_lane(lanes[i].step(lane(words[0], i), lane(words[1], i), begins), i);
        }
        *(Word*)out = result;
        out += dx.stride;
    });
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        p.du_kbh[index + i] = lanes[i].finish(widen(p.h0_bh[index + i]));
        p.dh0_bh[index + i] = narrow(lanes[i].carry);
        Column column = c;
        column.unit += i;
        fill(p.dx_tbh, column, p.dx_t, p.dx_b, 0, p.T);
    }
}
