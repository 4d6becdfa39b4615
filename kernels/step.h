// What step.cpp and step_rows.cpp share. Every field has eight bytes, as Python packs them; rows are contiguous.
#pragma once
#include <stdint.h>

namespace indrnn_step {

constexpr int64_t TOGETHER = 24;  // rows at most that share one reading of the weights; they fit a core's cache
constexpr int64_t PANEL = 32;     // outputs whose weights stand together: (outputs / PANEL, inputs, PANEL)

// h = act(scale * z + shift + u * h), z = weight h_before + bias, or the sum of all such z where it joins.
struct Layer {
    const float *weight, *bias, *scale, *shift, *u;  // scale and shift may be null
    int64_t outputs, inputs, joins, relu;
};

struct Call {
    const Layer* layers;
    int64_t count;
    const float *weight, *bias;  // of the classifier
    int64_t classes, last;       // its outputs and inputs
    const float* x;              // (rows, inputs)
    int64_t inputs, rows;
    float* const* states;  // one for each row, replaced
    int64_t widest;        // outputs of a layer, at most
    float* logits;         // (rows, classes)
    int64_t threads;
};

// The rows from `first` up to `end`, at most TOGETHER; `trunk` is scratch, (end - first, widest).
void advance_baseline(const Call& call, int64_t first, int64_t end, float* trunk);
void advance_avx2(const Call& call, int64_t first, int64_t end, float* trunk);
void advance_avx512(const Call& call, int64_t first, int64_t end, float* trunk);

}  // namespace indrnn_step
