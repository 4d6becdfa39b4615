// One frame through a network: a plain C interface, threads. What it does stands in step_rows.cpp.
//
// Rows know nothing of each other, so a thread takes some of them through all layers and no one waits. Results do not
// depend on the number of threads or rows.
#include "step.h"

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

}  // namespace

INDRNN_API int64_t indrnn_step_version() { return 3; }

INDRNN_API const char* indrnn_step_level() { return best().name; }

INDRNN_API void indrnn_step_use_pool(Pool given) { pool = given; }

INDRNN_API void indrnn_step_advance(const void* packed) {
    const auto& call = *static_cast<const indrnn_step::Call*>(packed);
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
