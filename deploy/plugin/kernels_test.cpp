// The kernels' own source on a CPU, thread after thread: what they index, how they end rows, which
// loads they widen. For tests/unit/deploy/test_plugin.py; what a GPU does beside that is not tested here.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {
struct Place {
    unsigned x;
};
Place blockIdx, threadIdx, blockDim, gridDim;

float from_half(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = std::ldexp(static_cast<float>(fraction + (exponent ? 1024 : 0)),
                            (exponent ? exponent : 1) - 25);
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    return bits >> 15 ? -size : size;
}
}  // namespace

// The kernels are taken as NVRTC takes them, without CUDA's headers.
#define __CUDACC_RTC__
#define __device__
#define __global__
#define __forceinline__ inline
// The one instruction that is written out: FP16 to FP32.
#define asm(...) f = from_half(h.bits)
#include "kernels.cu"
#undef asm

namespace {
template <typename Kernel, typename... Args>
void run(Kernel kernel, unsigned blocks, unsigned threads, Args... args) {
    gridDim = {blocks};
    blockDim = {threads};
    for (unsigned block = 0; block < blocks; ++block) {
        for (unsigned thread = 0; thread < threads; ++thread) {
            blockIdx = {block};
            threadIdx = {thread};
            kernel(args...);
        }
    }
}
}  // namespace

#define EDGESEG_RUNS(NAME, T)                                                                     \
    extern "C" void run_pool_##NAME(unsigned blocks, unsigned threads, const void *x,             \
                                    void *values, void *indices, int planes, int height,          \
                                    int width) {                                                  \
        run(edgeseg_pool_##NAME, blocks, threads, static_cast<const T *>(x),                      \
            static_cast<T *>(values), static_cast<unsigned char *>(indices), planes, height,      \
            width);                                                                               \
    }                                                                                             \
    extern "C" void run_unpool_##NAME(unsigned blocks, unsigned threads, const void *values,      \
                                      const void *indices, void *y, int planes, int height,       \
                                      int width) {                                                \
        run(edgeseg_unpool_##NAME, blocks, threads, static_cast<const T *>(values),               \
            static_cast<const unsigned char *>(indices), static_cast<T *>(y), planes, height,     \
            width);                                                                               \
    }

EDGESEG_RUNS(int8, int8_t)
EDGESEG_RUNS(fp16, edgeseg::Half)
EDGESEG_RUNS(fp32, float)
