// One frame through a stack of linear maps and recurrences, compiled once for every instruction set.
//
// A frame of one stream is a product of every weight with one vector, so reading the weights is all the time; a few
// rows share that reading. Nothing here may call an inline function of the standard library (see cpu_steps.cpp).
#include "step.h"

#ifndef INDRNN_LEVEL
#define INDRNN_LEVEL baseline
#endif

namespace indrnn_step {
namespace {

#if defined(__AVX512F__)
constexpr int64_t LANES = 16;
#elif defined(__AVX__)
constexpr int64_t LANES = 8;
#else
constexpr int64_t LANES = 4;
#endif
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

inline __attribute__((always_inline)) Vector load(const float* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

// y[r, o] = bias[o] + sum_i weight[o, i] x[r, i] for OUT outputs from o on and ROWS rows. Every sum is in the same
// order, however many rows share the reading.
template <int OUT, int ROWS>
void tile(const float* weight, const float* bias, const float* x, int64_t x_r, float* y, int64_t y_r, int64_t inputs) {
    Vector sum[OUT][ROWS] = {};
    int64_t i = 0;
    for (; i + LANES <= inputs; i += LANES) {
        Vector in[ROWS];
        for (int r = 0; r < ROWS; ++r) in[r] = load(x + r * x_r + i);
        for (int o = 0; o < OUT; ++o) {
            const Vector w = load(weight + o * inputs + i);
            for (int r = 0; r < ROWS; ++r) sum[o][r] += w * in[r];
        }
    }
    for (int o = 0; o < OUT; ++o)
        for (int r = 0; r < ROWS; ++r) {
            float total = 0;
            for (int l = 0; l < LANES; ++l) total += sum[o][r][l];
            for (int64_t j = i; j < inputs; ++j) total += weight[o * inputs + j] * x[r * x_r + j];
            y[r * y_r + o] = total + bias[o];
        }
}

template <int ROWS>
void some(const float* weight, const float* bias, const float* x, int64_t x_r, float* y, int64_t y_r, int64_t outputs,
          int64_t inputs) {
    int64_t o = 0;
    for (; o + 4 <= outputs; o += 4) tile<4, ROWS>(weight + o * inputs, bias + o, x, x_r, y + o, y_r, inputs);
    for (; o < outputs; ++o) tile<1, ROWS>(weight + o * inputs, bias + o, x, x_r, y + o, y_r, inputs);
}

void product(const float* weight, const float* bias, const float* x, int64_t x_r, float* y, int64_t y_r, int64_t rows,
             int64_t outputs, int64_t inputs) {
    for (; rows >= 4; rows -= 4, x += 4 * x_r, y += 4 * y_r)
        some<4>(weight, bias, x, x_r, y, y_r, outputs, inputs);
    if (rows >= 2) {
        some<2>(weight, bias, x, x_r, y, y_r, outputs, inputs);
        rows -= 2, x += 2 * x_r, y += 2 * y_r;
    }
    if (rows) some<1>(weight, bias, x, x_r, y, y_r, outputs, inputs);
}

void recur(const Layer& layer, const float* z, float* h) {
    for (int64_t i = 0; i < layer.outputs; ++i) {
        const float in = layer.scale ? layer.scale[i] * z[i] + layer.shift[i] : z[i];
        const float next = in + layer.u[i] * h[i];
        h[i] = layer.relu && next < 0 ? 0 : next;  // NaN stays
    }
}

}  // namespace

#define INDRNN_NAME_(level) advance_##level
#define INDRNN_NAME(level) INDRNN_NAME_(level)

void INDRNN_NAME(INDRNN_LEVEL)(const Call& call) {
    const float* h = call.x;
    int64_t stride = call.inputs, offset = 0;
    bool started = false;
    for (int64_t n = 0; n < call.count; ++n) {
        const Layer& layer = call.layers[n];
        product(layer.weight, layer.bias, h, stride, call.z, call.widest, call.rows, layer.outputs, layer.inputs);
        float* state = call.state + offset;
        for (int64_t r = 0; r < call.rows; ++r) {
            float* z = call.z + r * call.widest;
            if (layer.joins) {
                float* trunk = call.trunk + r * call.widest;
                for (int64_t i = 0; i < layer.outputs; ++i) trunk[i] = started ? trunk[i] + z[i] : z[i];
                z = trunk;
            }
            recur(layer, z, state + r * call.width);
        }
        started = started || layer.joins;
        h = state;
        stride = call.width;
        offset += layer.outputs;
    }
    product(call.weight, call.bias, h, stride, call.logits, call.classes, call.rows, call.classes, call.last);
}

}  // namespace indrnn_step
