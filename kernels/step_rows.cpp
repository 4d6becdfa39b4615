// Some rows through a stack of linear maps and recurrences, compiled once for every instruction set.
//
// A frame of one stream is a product of every weight with one vector, so reading the weights is all the time: they
// stand in panels of 32 outputs, read once from the first to the last. Many rows share that reading, and arithmetic is
// all the time: sums of a few rows and outputs stay in registers over all inputs. The recurrence takes the sums as they
// are done. Nothing here may call an inline function of the standard library (see cpu_steps.cpp).
#include "step.h"

#ifndef INDRNN_LEVEL
#define INDRNN_LEVEL baseline
#endif

namespace indrnn_step {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 8;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 6;
#endif
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float Sums[ROWS][PANEL];

// Else a compiler reads the weights anew for every row, and reading takes longer than the products do.
#if defined(__x86_64__)
#define IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define IN_REGISTER(vector) (void)(vector)
#endif

inline __attribute__((always_inline)) Vector load(const float* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

// sums[r][o] = sum_i panel[i][o] x[r][i] for COUNT rows and SPAN vectors of outputs from `from` on. A sum is in the
// same order, however many rows share the reading.
template <int COUNT, int SPAN>
inline __attribute__((always_inline)) void tile(const float* panel, const float* const* x, int64_t inputs, int from,
                                                Sums& sums) {
    const float* row[COUNT];
    for (int r = 0; r < COUNT; ++r) row[r] = x[r];
    Vector sum[COUNT][SPAN] = {};
    panel += from;
    for (int64_t i = 0; i < inputs; ++i, panel += PANEL) {
        Vector w[SPAN];
        for (int v = 0; v < SPAN; ++v) {
            w[v] = load(panel + v * LANES);
            IN_REGISTER(w[v]);
        }
        for (int r = 0; r < COUNT; ++r)
            for (int v = 0; v < SPAN; ++v) sum[r][v] += w[v] * row[r][i];
    }
    for (int r = 0; r < COUNT; ++r)
        for (int v = 0; v < SPAN; ++v) __builtin_memcpy(&sums[r][from + v * LANES], &sum[r][v], sizeof(Vector));
}

// All outputs of a panel; a few rows take them at once, more would not leave the registers.
template <int COUNT> void panel_of(const float* panel, const float* const* x, int64_t inputs, Sums& sums) {
    constexpr int SPAN = COUNT * PANEL / LANES <= 2 * ROWS ? PANEL / LANES : 2;
    for (int from = 0; from < PANEL; from += SPAN * LANES) tile<COUNT, SPAN>(panel, x, inputs, from, sums);
}

void some(int64_t count, const float* panel, const float* const* x, int64_t inputs, Sums& sums) {
    switch (count) {
        case 1: return panel_of<1>(panel, x, inputs, sums);
        case 2: return panel_of<2>(panel, x, inputs, sums);
        case 3: return panel_of<3>(panel, x, inputs, sums);
        case 4: return panel_of<4>(panel, x, inputs, sums);
        case 5: return panel_of<5>(panel, x, inputs, sums);
#if defined(__AVX512F__)
        case 6: return panel_of<6>(panel, x, inputs, sums);
        case 7: return panel_of<7>(panel, x, inputs, sums);
#endif
        default: return panel_of<ROWS>(panel, x, inputs, sums);
    }
}

// Calls use(row, first output, outputs, sums) for all rows and panels of a product; before it, ahead(row, first
// output), so that what `use` takes comes from memory while the sums are made.
template <class Ahead, class Use>
void product(const float* weight, int64_t outputs, int64_t inputs, const float* const* x, int64_t rows,
             const Ahead& ahead, const Use& use) {
    for (int64_t o = 0; o < outputs; o += PANEL, weight += PANEL * inputs)
        for (int64_t r = 0; r < rows; r += ROWS) {
            const int64_t count = rows - r < ROWS ? rows - r : ROWS;
            const int64_t width = outputs - o < PANEL ? outputs - o : PANEL;
            for (int64_t i = 0; i < count; ++i) ahead(r + i, o);
            Sums sums;
            some(count, weight, x + r, inputs, sums);
            for (int64_t i = 0; i < count; ++i) use(r + i, o, width, sums[i]);
        }
}

// `trunk` is null where the layer joins none; `fresh` is the first that joins.
inline __attribute__((always_inline)) void recur(const Layer& layer, int64_t o, int64_t width, const float* sums,
                                                 float* trunk, bool fresh, float* h) {
    for (int64_t i = 0; i < width; ++i) {
        float z = sums[i] + layer.bias[o + i];
        if (trunk) trunk[o + i] = z = fresh ? z : trunk[o + i] + z;
        if (layer.scale) z = layer.scale[o + i] * z + layer.shift[o + i];
        const float next = z + layer.u[o + i] * h[o + i];
        h[o + i] = layer.relu && next < 0 ? 0 : next;  // NaN stays
    }
}

inline bool any(const float* from, int64_t count) {
    bool found = false;
    for (int64_t i = 0; i < count; ++i) found |= from[i] != 0;
    return found;
}

// Which bodies of a frame are there: a bit each; one whose numbers are all 0 is absent.
uint64_t present(const Call& call, const float* frame) {
    const int64_t width = call.kept / call.bodies;
    uint64_t bits = 0;
    for (int64_t body = 0; body < call.bodies; ++body) bits |= uint64_t(any(frame + body * width, width)) << body;
    return bits;
}

inline float distance(const float* a, const float* b) {
    const float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return __builtin_sqrtf(x * x + y * y + z * z);
}

// Turns the frame until the mean of all lines so far lies along x; `sum` takes this frame's.
void face(const Call& call, float* row, float* sum) {
    float* frame = row + call.inputs - call.faced;
    float x = 0, z = 0;
    for (int64_t n = 0; n < call.lines; ++n) {
        const float *left = frame + call.across[2 * n], *right = frame + call.across[2 * n + 1];
        x += right[0] - left[0];
        z += right[2] - left[2];
    }
    sum[0] += x / float(call.lines);
    sum[1] += z / float(call.lines);
    const float length = __builtin_sqrtf(sum[0] * sum[0] + sum[1] * sum[1]);
    if (!(length > 0)) return;
    const float cosine = sum[0] / length, sine = sum[1] / length;
    for (float* point = frame; point < frame + call.faced; point += 3) {
        const float along = point[0], away = point[2];
        point[0] = cosine * along + sine * away;
        point[2] = cosine * away - sine * along;
    }
}

// Keeps the frame; writes to `made` what has changed in it since the one before, the distances of pairs of points, and
// what has changed in these. A body that is absent now has no distances, one that is absent in either frame has not
// moved.
void enter(const Call& call, const float* row, float* before, float* made) {
    const float* now = row + call.inputs - call.kept;
    if (behind(call)) {
        const int64_t width = call.kept / call.bodies;
        const uint64_t here = present(call, now), both = here & present(call, before);
        if (call.motion) {
            for (int64_t body = 0; body < call.bodies; ++body) {
                const int64_t at = body * width;
                const bool moves = both >> body & 1;
                for (int64_t i = at; i < at + width; ++i) made[i] = moves ? now[i] - before[i] : 0;
            }
            made += call.kept;
        }
        for (int64_t n = 0; n < call.distances; ++n) {
            const int64_t first = call.pairs[2 * n], second = call.pairs[2 * n + 1];
            const uint64_t bodies = uint64_t(1) << first / width | uint64_t(1) << second / width;
            const bool there = (here & bodies) == bodies, moves = (both & bodies) == bodies;
            made[n] = there ? distance(now + first, now + second) : 0;
            if (call.changing)
                made[call.distances + n] = moves ? made[n] - distance(before + first, before + second) : 0;
        }
    }
    __builtin_memcpy(before, now, call.kept * sizeof(float));
}

// NaN stays.
inline void clip(float* x, int64_t count, const float* low, const float* high) {
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] < low[i] ? low[i] : x[i] > high[i] ? high[i] : x[i];
}

// Takes the last layer's output into the mean behind it and the number of steps behind that.
void average(const Call& call, const float* h, int64_t width, float* mean) {
    const float share = 1 / ++mean[width];
    for (int64_t i = 0; i < width; ++i) {
        const float y = call.scale ? call.scale[i] * h[i] + call.shift[i] : h[i];
        mean[i] += share * (y - mean[i]);
    }
}

inline float dot(const float* a, const float* b, int64_t count) {
    Vector lanes = {};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) lanes += load(a + i) * load(b + i);
    float sum = 0;
    for (int k = 0; k < LANES; ++k) sum += lanes[k];
    for (; i < count; ++i) sum += a[i] * b[i];
    return sum;
}

// Takes the last layer's output into its mean and weighted mean, which stand behind it.
void gather(const Call& call, const float* h, int64_t width, float* mean) {
    float *weighted = mean + width, *weights = weighted + width;
    const float share = 1 / ++weights[call.heads];
    for (int64_t a = 0, i = 0; a < call.heads; ++a) {
        const float score = dot(call.score + a * width, h, width) + call.offset[a];
        const float weight = __builtin_expf(score < -LIMIT ? -LIMIT : score > LIMIT ? LIMIT : score);
        weights[a] += weight;
        const float heavy = weight / weights[a];
        for (const int64_t end = ((a + 1) * width + call.heads - 1) / call.heads; i < end; ++i) {
            const float y = call.scale ? call.scale[i] * h[i] + call.shift[i] : h[i];
            mean[i] += share * (y - mean[i]);
            weighted[i] += heavy * (y - weighted[i]);
        }
    }
}

}  // namespace

#define INDRNN_NAME_(level) advance_##level
#define INDRNN_NAME(level) INDRNN_NAME_(level)

void INDRNN_NAME(INDRNN_LEVEL)(const Call& call, int64_t first, int64_t end, float* memory) {
    const int64_t rows = end - first;
    const float* x[TOGETHER];
    float* trunk = memory;
    for (int64_t r = 0; r < rows; ++r) {
        x[r] = call.x + (first + r) * call.inputs;
        const int64_t width = made_of(call);
        float* made = width ? memory + rows * call.widest + r * width : nullptr;
        if (made) __builtin_memcpy(made, x[r], call.inputs * sizeof(float));
        float* state = call.states[first + r];
        if (call.lines) {
            face(call, made, state);
            x[r] = made;
            state += 2;
        }
        if (call.kept) enter(call, x[r], state, made ? made + call.inputs : nullptr);
        if (call.low) clip(made, width, call.low, call.high);
        if (made) x[r] = made;
    }
    int64_t offset = call.kept + (call.lines ? 2 : 0);
    bool fresh = true;
    for (int64_t n = 0; n < call.count; ++n) {
        const Layer& layer = call.layers[n];
        const auto ahead = [&](int64_t r, int64_t o) {
            const float* h = call.states[first + r] + offset + o;
            __builtin_prefetch(h, 1);
            __builtin_prefetch(h + PANEL / 2, 1);
        };
        product(layer.weight, layer.outputs, layer.inputs, x, rows, ahead,
                [&](int64_t r, int64_t o, int64_t width, const float* sums) {
                    float* joined = layer.joins ? trunk + r * call.widest : nullptr;
                    recur(layer, o, width, sums, joined, fresh, call.states[first + r] + offset);
                });
        fresh = fresh && !layer.joins;
        for (int64_t r = 0; r < rows; ++r) x[r] = call.states[first + r] + offset;
        offset += layer.outputs;
    }
    if (call.mean) {
        const int64_t width = call.layers[call.count - 1].outputs;
        for (int64_t r = 0; r < rows; ++r) {
            float* behind_it = call.states[first + r] + offset;
            call.mean == 3 ? gather(call, x[r], width, behind_it) : average(call, x[r], width, behind_it);
            if (call.mean == 1) x[r] += width;
        }
    }
    const auto nothing = [](int64_t, int64_t) {};
    product(call.weight, call.classes, call.last, x, rows, nothing,
            [&](int64_t r, int64_t o, int64_t width, const float* sums) {
                float* logits = call.logits + (first + r) * call.classes;
                for (int64_t i = 0; i < width; ++i) logits[o + i] = sums[i] + call.bias[o + i];
            });
}

}  // namespace indrnn_step
