// What cpu.cpp asks of cpu_steps.cpp: walk one tile of columns through time.
//
// A column is one unit of one sequence. A tile is a run of neighbouring columns; its rows are contiguous, and the
// distance of one step to the next is free, and negative where time is walked backwards.
#pragma once

#include <cstdint>

#include "recurrence.h"

namespace indrnn {

constexpr int64_t TILE = 2048;  // most columns of a tile: its state, u and sums stay near in float, 8 KB each

// Rows in the order of the walk: `x` and `h` point at those of its first step.
template <class S> struct Forward {
    const S* x;
    S* h;
    int64_t x_step, h_step;
    const S *u, *h0;
    int64_t steps, width;
    int activation;
};

// Rows against the order of the forward walk: `g`, `h` and `dx` point at those of its last step.
template <class S> struct Backward {
    const S *g, *h;
    S* dx;
    int64_t g_step, h_step, dx_step;
    const S *u, *h0;
    S *du, *dh0;
    int64_t steps, width;
    int activation;
};

template <class S> struct Walks {
    void (*forward)(const Forward<S>&);
    void (*backward)(const Backward<S>&);
};

// The same source compiled for one instruction set. Elements do not depend on the tile they are in.
struct Level {
    const char* name;
    Walks<float> of_float;
    Walks<double> of_double;
};

extern const Level baseline;
#ifdef INDRNN_X86_LEVELS
extern const Level avx2, avx512;
#endif

}  // namespace indrnn
