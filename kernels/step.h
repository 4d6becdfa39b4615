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

constexpr float LIMIT = 10;  // of a score, either way

// A state is the sum of lines across the main actor, x and z, where there are any; the frame before, where `kept` is not 0; the layers' outputs; and what is gathered of the last layer's
// output over all steps, with their number: where `mean` is 1 or 2 its mean, where it is 3 its mean, its weighted mean,
// and for each head the sum of its weights.
struct Call {
    const Layer* layers;
    int64_t count;
    const float *weight, *bias;  // of the classifier
    int64_t classes, last;       // its outputs and inputs
    const int64_t* across;       // (lines, 2) places of points among the last `faced` numbers, or null
    int64_t lines, faced;        // whose mean so far is turned along x, about y, with all those numbers
    int64_t kept, bodies;        // the last numbers of a row that the state keeps, and bodies in them
    int64_t motion;              // whether the first layer gets their change since the frame before, behind the row
    const int64_t* pairs;        // (distances, 2) places of points among the last numbers, or null
    int64_t distances;           // that the first layer gets behind all that
    int64_t changing;            // whether it gets their change behind them
    const float *low, *high;     // least and greatest that each number may be that it gets, or both null
    int64_t mean;                // 0 for none, 1 if the classifier reads it alone, 2 or 3 if behind the last output
    const float *scale, *shift;  // of the last output in what is gathered; may be null
    const float *score, *offset;  // (heads, outputs) and (heads), of the last output; e to its power is a head's weight
    int64_t heads;                // that share the outputs
    const float* x;              // (rows, inputs)
    int64_t inputs, rows;
    float* const* states;  // one for each row, replaced
    int64_t widest;        // outputs of a layer, at most
    float* logits;         // (rows, classes)
    int64_t threads;
};

// Joints from which rows are made. A row's frame are its actors' joints, each minus an origin, times a turn; zeros for
// an actor who is not there. A row of `table` is the addresses of its state, of where its logits go and of origin (3)
// and turn (3, 3), and for each actor the number of a body in `joints`, or -1.
struct Scene {
    const float* joints;  // (bodies, joint_count, 3)
    int64_t joint_count, actors, turned;
    const int64_t* table;  // (rows, 3 + actors)
};

// Numbers that the first layer gets behind a row.
inline int64_t behind(const Call& call) {
    return (call.motion ? call.kept : 0) + (call.changing ? 2 : 1) * call.distances;
}

// Numbers that are made for a row: what the first layer gets where that is not the row itself.
inline int64_t made_of(const Call& call) {
    return behind(call) || call.low || call.lines ? call.inputs + behind(call) : 0;
}

// Scratch for a row: a trunk, and what is made.
inline int64_t scratch(const Call& call) { return call.widest + made_of(call); }

// The rows from `first` up to `end`, at most TOGETHER; `memory` is scratch for them.
void advance_baseline(const Call& call, int64_t first, int64_t end, float* memory);
void advance_avx2(const Call& call, int64_t first, int64_t end, float* memory);
void advance_avx512(const Call& call, int64_t first, int64_t end, float* memory);

}  // namespace indrnn_step
