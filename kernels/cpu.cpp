// The CPU kernel: a plain C interface, tiles of columns, threads. What a tile does stands in cpu_steps.cpp.
//
// Results do not depend on the number of threads: every element is computed by one thread in the order of time, and
// du is summed over the batch in order.
#include "cpu.h"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(_WIN32)
#define INDRNN_API extern "C" __declspec(dllexport)
#else
#define INDRNN_API extern "C" __attribute__((visibility("default")))
#endif

using namespace indrnn;

namespace {

// The two calls as Python packs them: every field has eight bytes. Strides count elements; h0, du and dh0 are
// contiguous; the outermost stride is that of time, the innermost one is 1. `lengths` may be null.
struct ForwardCall {
    const void* x;
    int64_t x_t, x_b;
    void* h;
    int64_t h_t, h_b;
    const void *u, *h0;
    const int64_t* lengths;
    int64_t T, B, H, activation, reverse, threads, is_double;
};

// `partial` (B, H) is scratch: du of every sequence. It is not used where B is 1.
struct BackwardCall {
    const void* g;
    int64_t g_t, g_b;
    const void* h;
    int64_t h_t, h_b;
    void* dx;
    int64_t dx_t, dx_b;
    const void *u, *h0;
    const int64_t* lengths;
    void *du, *dh0, *partial;
    int64_t T, B, H, activation, reverse, threads, is_double;
};

// ---- Threads ----

constexpr int64_t ALONE = 32768;          // elements up to which waking another thread costs more than it does
constexpr int64_t ALONE_STARTED = 1 << 20;  // the same where the thread has to be started

// GOMP_parallel of the OpenMP library that torch runs on: its threads are awake, and a second pool would fight
// with them for the processors.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
Parallel pool = nullptr;

template <class Work> struct Queue {
    const Work& work;
    int64_t count;
    std::atomic<int64_t> next{0};

    static void drain(void* self) {
        auto& queue = *static_cast<Queue*>(self);
        for (int64_t i; (i = queue.next.fetch_add(1, std::memory_order_relaxed)) < queue.count;) queue.work(i);
    }
};

// Runs work(0), ..., work(count - 1), in any order.
template <class Work> void spread(int64_t count, int64_t threads, const Work& work) {
    Queue<Work> queue{work, count};
    threads = threads < count ? threads : count;
    if (threads > 1 && pool) {
        pool(Queue<Work>::drain, &queue, unsigned(threads), 0);
    } else if (threads > 1) {
        std::vector<std::thread> others;
        for (int64_t i = 1; i < threads; ++i) others.emplace_back(Queue<Work>::drain, &queue);
        Queue<Work>::drain(&queue);
        for (auto& other : others) other.join();
    } else {
        Queue<Work>::drain(&queue);
    }
}

int64_t threads_for(int64_t elements, int64_t threads) {
    return elements < (pool ? ALONE : ALONE_STARTED) ? 1 : threads;
}

// ---- Tiles ----

int64_t quotient_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The columns cut up: all of the batch side by side where it lies so in memory, else one sequence at a time.
struct Cut {
    int64_t sequences, columns, width, parts;

    Cut(bool together, int64_t B, int64_t H, int64_t threads) {
        sequences = together ? 1 : B;
        columns = together ? B * H : H;
        parts = quotient_up(columns, TILE);
        int64_t tiles = quotient_up(sequences * parts, threads) * threads;  // as many for one thread as for another
        if (sequences * parts < 8 * threads) parts = quotient_up(tiles, sequences);
        width = quotient_up(quotient_up(columns, parts), 16) * 16;  // whole cache lines
        parts = quotient_up(columns, width);
    }
};

// One tile of a cut: where it is, how many steps it walks, and its u.
template <class S> struct Place {
    int64_t b, column, width, steps;
    const S* u;
    alignas(64) S repeated[TILE];

    Place(const Cut& cut, int64_t tile, const void* u_h, int64_t T, int64_t H, const int64_t* lengths) {
        b = tile / cut.parts;
        column = tile % cut.parts * cut.width;
        width = cut.columns - column < cut.width ? cut.columns - column : cut.width;
        steps = lengths ? lengths[b] : T;
        const int64_t unit = column % H;
        u = static_cast<const S*>(u_h) + unit;
        if (unit + width <= H) return;
        for (int64_t i = 0, j = unit; i < width; j = 0) {
            const int64_t run = H - j < width - i ? H - j : width - i;
            std::memcpy(repeated + i, static_cast<const S*>(u_h) + j, run * sizeof(S));
            i += run;
        }
        u = repeated;
    }
};

// Zeros in the rows from `steps` on: what lies behind the end of a sequence.
template <class S> void clear(S* row, int64_t stride, int64_t steps, int64_t T, int64_t width) {
    for (int64_t t = steps; t < T; ++t) std::memset(row + t * stride, 0, width * sizeof(S));
}

// Asks for huge pages below a large output: it is fresh memory, and its page faults would take longer than the walk.
void expect_write(void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t page = 2 << 20;
    if (bytes < int64_t(4 * page)) return;
    const uintptr_t from = (reinterpret_cast<uintptr_t>(data) + page - 1) & ~(page - 1);
    const uintptr_t to = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(page - 1);
    madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);  // advice: where it fails, nothing is lost
#else
    (void)data, (void)bytes;
#endif
}

const Level* level = &baseline;

template <class S> const Walks<S>& walks();
template <> const Walks<float>& walks() { return level->of_float; }
template <> const Walks<double>& walks() { return level->of_double; }

template <class S> void forward(const ForwardCall& c) {
    const int64_t threads = threads_for(c.T * c.B * c.H, c.threads);
    const bool together = !c.lengths && (c.B == 1 || (c.x_b == c.H && c.h_b == c.H));
    const Cut cut(together, c.B, c.H, threads);
    expect_write(c.h, c.T * c.B * c.H * sizeof(S));
    spread(cut.sequences * cut.parts, threads, [&](int64_t tile) {
        const Place<S> at(cut, tile, c.u, c.T, c.H, c.lengths);
        const S* x = static_cast<const S*>(c.x) + at.b * c.x_b + at.column;
        S* h = static_cast<S*>(c.h) + at.b * c.h_b + at.column;
        const S* h0 = static_cast<const S*>(c.h0) + at.b * c.H + at.column;
        const int64_t first = c.reverse ? at.steps - 1 : 0, way = c.reverse ? -1 : 1;
        clear(h, c.h_t, at.steps, c.T, at.width);
        walks<S>().forward({x + first * c.x_t, h + first * c.h_t, way * c.x_t, way * c.h_t, at.u, h0, at.steps,
                            at.width, int(c.activation)});
    });
}

template <class S> void backward(const BackwardCall& c) {
    if (c.B == 0) {
        std::memset(c.du, 0, c.H * sizeof(S));
        return;
    }
    const int64_t threads = threads_for(c.T * c.B * c.H, c.threads);
    const bool together = !c.lengths && (c.B == 1 || (c.g_b == c.H && c.h_b == c.H && c.dx_b == c.H));
    const Cut cut(together, c.B, c.H, threads);
    S *du = static_cast<S*>(c.du), *partial = c.B == 1 ? du : static_cast<S*>(c.partial);
    expect_write(c.dx, c.T * c.B * c.H * sizeof(S));
    spread(cut.sequences * cut.parts, threads, [&](int64_t tile) {
        const Place<S> at(cut, tile, c.u, c.T, c.H, c.lengths);
        const S* g = static_cast<const S*>(c.g) + at.b * c.g_b + at.column;
        const S* h = static_cast<const S*>(c.h) + at.b * c.h_b + at.column;
        S* dx = static_cast<S*>(c.dx) + at.b * c.dx_b + at.column;
        const int64_t here = at.b * c.H + at.column;
        const int64_t last = c.reverse ? 0 : at.steps - 1, way = c.reverse ? 1 : -1;
        clear(dx, c.dx_t, at.steps, c.T, at.width);
        walks<S>().backward({g + last * c.g_t, h + last * c.h_t, dx + last * c.dx_t, way * c.g_t, way * c.h_t,
                             way * c.dx_t, at.u, static_cast<const S*>(c.h0) + here, partial + here,
                             static_cast<S*>(c.dh0) + here, at.steps, at.width, int(c.activation)});
    });
    if (c.B == 1) return;
    for (int64_t from = 0, to; from < c.H; from = to) {
        to = from + TILE < c.H ? from + TILE : c.H;
        double sum[TILE] = {};
        for (int64_t b = 0; b < c.B; ++b)
            for (int64_t j = from; j < to; ++j) sum[j - from] += partial[b * c.H + j];
        for (int64_t j = from; j < to; ++j) du[j] = S(sum[j - from]);
    }
}

}  // namespace

// The layout of the two calls; Python refuses a library of another one.
INDRNN_API int64_t indrnn_version() { return 1; }

// `gomp_parallel` may be null: threads are then started for every call that is large enough.
INDRNN_API void indrnn_use_pool(void* gomp_parallel) { pool = reinterpret_cast<Parallel>(gomp_parallel); }

// Takes the best instruction set up to `most` (0 baseline, 1 AVX2, 2 AVX-512) that this processor has; its name.
INDRNN_API const char* indrnn_use_level(int64_t most) {
    level = &baseline;
#ifdef INDRNN_X86_LEVELS
    __builtin_cpu_init();
    if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = &avx2;
    if (most >= 2 && __builtin_cpu_supports("avx512f")) level = &avx512;
#else
    (void)most;
#endif
    return level->name;
}

INDRNN_API void indrnn_forward(const ForwardCall* call) {
    if (call->B * call->H == 0) return;
    call->is_double ? forward<double>(*call) : forward<float>(*call);
}

INDRNN_API void indrnn_backward(const BackwardCall* call) {
    if (call->H == 0) return;
    call->is_double ? backward<double>(*call) : backward<float>(*call);
}
