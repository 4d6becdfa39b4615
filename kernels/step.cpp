// One frame through a network, for few rows: a plain C interface. What it does stands in step_rows.cpp.
#include "step.h"

#if defined(_WIN32)
#define INDRNN_API extern "C" __declspec(dllexport)
#else
#define INDRNN_API extern "C" __attribute__((visibility("default")))
#endif

INDRNN_API int64_t indrnn_step_version() { return 1; }

INDRNN_API void indrnn_step_advance(const void* packed) {
    const auto& call = *static_cast<const indrnn_step::Call*>(packed);
#ifdef INDRNN_X86_LEVELS
    static const int level = __builtin_cpu_supports("avx512f") ? 2
                             : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1
                                                                                               : 0;
    if (level == 2) return indrnn_step::advance_avx512(call);
    if (level == 1) return indrnn_step::advance_avx2(call);
#endif
    indrnn_step::advance_baseline(call);
}
