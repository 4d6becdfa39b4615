// cuda.cu for g++ behind one C function, which a test calls through ctypes.
#include "cuda_shim.h"

#include INDRNN_SOURCE

extern "C" std::size_t problem_size() { return sizeof(Problem); }

extern "C" unsigned short narrowed(float v) { return (unsigned short)bits_of(narrow(v)); }

extern "C" float widened(unsigned short bits) { return widen(store_of(bits)); }

// 0 done, 1 no such kernel, 2 a copy was misused.
extern "C" int launch(const char* name, const Problem* problem, unsigned grid_x, unsigned grid_y, unsigned threads) {
#define RUN(KERNEL_NAME)                                                                        \
    if (!std::strcmp(name, #KERNEL_NAME)) {                                                     \
        return shim::run(KERNEL_NAME, *problem, grid_x, grid_y, threads) ? 0 : 2;               \
    }
    RUN(column_forward)
    RUN(column_backward)
    RUN(ring_forward)
    RUN(ring_backward)
#if INDRNN_ACTIVATION != 1
    RUN(summary_forward)
    RUN(summary_backward)
    RUN(chain_forward)
    RUN(chain_backward)
#endif
    return 1;
}
