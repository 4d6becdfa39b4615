// One frame through a network: a plain C interface, threads. What it does stands in step_rows.cpp.
//
// Rows know nothing of each other, so a thread takes some of them through all layers and no one waits. Results do not
// depend on the number of threads or rows.
#include "step.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#if defined(_WIN32)
#define INDRNN_API extern "C" __declspec(dllexport)
#else
#define INDRNN_API extern "C" __attribute__((visibility("default")))
#endif

namespace {

constexpr int64_t ALONE = 16;  // rows at least that are worth another thread

// GOMP_parallel of the OpenMP library that torch runs on: its threads are awake, and a second pool would fight it.
typedef void (*Pool)(void (*)(void*), void*, unsigned, unsigned);
Pool pool = nullptr;

typedef void (*Advance)(const indrnn_step::Call&, int64_t, int64_t, float*);

struct Level {
    const char* name;
    Advance advance;
};

const Level& best() {
    static const Level level = [] {
#ifdef INDRNN_X86_LEVELS
        if (__builtin_cpu_supports("avx512f")) return Level{"avx512", indrnn_step::advance_avx512};
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return Level{"avx2", indrnn_step::advance_avx2};
#endif
        return Level{"baseline", indrnn_step::advance_baseline};
    }();
    return level;
}

struct Queue {
    const indrnn_step::Call* call;
    Advance advance;
    int64_t rows;  // of a piece
    std::atomic<int64_t> next{0};

    static void drain(void* self) {
        auto& queue = *static_cast<Queue*>(self);
        const auto& call = *queue.call;
        static thread_local std::vector<float> memory;  // kept, so that a frame allocates nothing
        const int64_t needed = queue.rows * indrnn_step::scratch(call);
        if (int64_t(memory.size()) < needed) memory.resize(needed);
        for (int64_t first; (first = queue.next.fetch_add(queue.rows)) < call.rows;) {
            const int64_t end = first + queue.rows < call.rows ? first + queue.rows : call.rows;
            queue.advance(call, first, end, memory.data());
        }
    }
};

void place(const indrnn_step::Scene& scene, const int64_t* row, float* x) {
    const float* origin = reinterpret_cast<const float*>(row[2]);
    const float* turn = origin + 3;
    for (int64_t actor = 0; actor < scene.actors; ++actor) {
        const int64_t body = row[3 + actor];
        for (int64_t joint = 0; joint < scene.joint_count; ++joint, x += 3) {
            if (body < 0) {
                x[0] = x[1] = x[2] = 0;
                continue;
            }
            const float* point = scene.joints + 3 * (body * scene.joint_count + joint);
            float d[3];
            for (int i = 0; i < 3; ++i) x[i] = d[i] = point[i] - origin[i];
            if (!scene.turned) continue;
            for (int i = 0; i < 3; ++i) x[i] = d[0] * turn[3 * i] + d[1] * turn[3 * i + 1] + d[2] * turn[3 * i + 2];
        }
    }
}

void advance_all(const indrnn_step::Call& call);

}  // namespace

INDRNN_API int64_t indrnn_step_version() { return 7; }

INDRNN_API const char* indrnn_step_level() { return best().name; }

INDRNN_API void indrnn_step_use_pool(Pool given) { pool = given; }

INDRNN_API void indrnn_step_advance(const void* packed) {
    advance_all(*static_cast<const indrnn_step::Call*>(packed));
}

// The call's x, states and logits are made here.
INDRNN_API void indrnn_step_see(const void* packed_call, const void* packed_scene) {
    auto call = *static_cast<const indrnn_step::Call*>(packed_call);
    const auto& scene = *static_cast<const indrnn_step::Scene*>(packed_scene);
    static thread_local std::vector<float> x, logits;
    static thread_local std::vector<float*> states;
    if (int64_t(x.size()) < call.rows * call.inputs) x.resize(call.rows * call.inputs);
    if (int64_t(logits.size()) < call.rows * call.classes) logits.resize(call.rows * call.classes);
    if (int64_t(states.size()) < call.rows) states.resize(call.rows);
    const int64_t* row = scene.table;
    for (int64_t r = 0; r < call.rows; ++r, row += 3 + scene.actors) {
        states[r] = reinterpret_cast<float*>(row[0]);
        place(scene, row, x.data() + r * call.inputs);
    }
    call.x = x.data();
    call.states = states.data();
    call.logits = logits.data();
    advance_all(call);
    row = scene.table;
    for (int64_t r = 0; r < call.rows; ++r, row += 3 + scene.actors)
        std::copy_n(logits.data() + r * call.classes, call.classes, reinterpret_cast<float*>(row[1]));
}

namespace {

void advance_all(const indrnn_step::Call& call) {
    const int64_t most = call.rows / ALONE;
    const int64_t threads = call.threads < most ? call.threads : most;
    const int64_t share = threads > 1 ? (call.rows + threads - 1) / threads : call.rows;
    const int64_t pieces = (share + indrnn_step::TOGETHER - 1) / indrnn_step::TOGETHER;
    Queue queue{&call, best().advance, pieces ? (share + pieces - 1) / pieces : 1};
    if (threads > 1 && pool) {
        pool(Queue::drain, &queue, unsigned(threads), 0);
    } else if (threads > 1) {
        std::vector<std::thread> others;
        for (int64_t i = 1; i < threads; ++i) others.emplace_back(Queue::drain, &queue);
        Queue::drain(&queue);
        for (auto& other : others) other.join();
    } else {
        Queue::drain(&queue);
    }
}

}  // namespace
