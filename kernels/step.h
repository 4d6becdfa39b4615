// What step.cpp and step_rows.cpp share. Every field has eight bytes, as Python packs them; rows are contiguous.
#pragma once
#include <stdint.h>

namespace indrnn_step {

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
    float* state;  // (rows, width), replaced
    int64_t width;
    float *trunk, *z;  // scratch, (rows, widest)
    int64_t widest;
    float* logits;  // (rows, classes)
};

void advance_baseline(const Call& call);
void advance_avx2(const Call& call);
void advance_avx512(const Call& call);

}  // namespace indrnn_step
