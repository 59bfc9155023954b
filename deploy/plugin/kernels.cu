// Max-pool with packed indices, and un-pool: one thread for the four windows of a byte.
//
// Four neighbouring windows read two rows of eight values and write one byte of indices, so loads
// are 8 bytes for INT8, 16 for FP16 and twice 16 for FP32 where the row allows it.
// Compiled by nvcc into the plugin, and by NVRTC alone, which has no standard headers.
#include "arithmetic.h"

#if defined(__CUDACC_RTC__)
typedef signed char int8_t;
#else
#include <cuda_fp16.h>
#include <stdint.h>
#endif

namespace edgeseg {

// Sixteen bits moved as they are; compared as floats.
struct Half {
    unsigned short bits;
};

__device__ __forceinline__ float number(Half h) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits));
    return f;
}
__device__ __forceinline__ float number(float f) { return f; }
__device__ __forceinline__ int number(int8_t i) { return i; }

template <typename T>
struct alignas(8 * sizeof(T) > 16 ? 16 : 8 * sizeof(T)) Eight {
    T cell[8];
};
template <typename T>
struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) Four {
    T cell[4];
};

template <typename T>
__device__ __forceinline__ void load_eight(const T *row, int from, int width, T *into) {
    if (from + 8 <= width && reinterpret_cast<unsigned long long>(row + from) % sizeof(Eight<T>) == 0) {
        const Eight<T> found = *reinterpret_cast<const Eight<T> *>(row + from);
        for (int i = 0; i < 8; ++i) into[i] = found.cell[i];
        return;
    }
    for (int i = 0; i < 8; ++i) into[i] = from + i < width ? row[from + i] : T{};
}

template <typename T>
__device__ __forceinline__ void pool(const T *x, T *values, unsigned char *indices, int planes,
                                     int height, int width) {
    const int rows = (height + 1) / 2, windows = (width + 1) / 2, bytes = packed_bytes(windows);
    const long long total = static_cast<long long>(planes) * rows * bytes;
    for (long long at = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x; at < total;
         at += static_cast<long long>(gridDim.x) * blockDim.x) {
        const int byte = static_cast<int>(at % bytes);
        const long long line = at / bytes;  // plane * rows + row
        const int row = static_cast<int>(line % rows);
        const T *upper = x + ((line / rows) * height + 2 * row) * static_cast<long long>(width);
        const bool below = 2 * row + 1 < height;
        T a[8], c[8];
        load_eight(upper, 8 * byte, width, a);
        load_eight(below ? upper + width : upper, 8 * byte, width, c);
        unsigned packed = 0;
        for (int i = 0; i < 4; ++i) {
            const int window = 4 * byte + i;
            if (window >= windows) break;
            unsigned place;
            pool_window(number(a[2 * i]), number(a[2 * i + 1]), number(c[2 * i]),
                        number(c[2 * i + 1]), 2 * window + 1 < width, below, place);
            const T picked = place < 2 ? a[2 * i + place] : c[2 * i + place - 2];
            values[line * windows + window] = picked;
            packed |= pack(place, i);
        }
        indices[line * bytes + byte] = static_cast<unsigned char>(packed);
    }
}

template <typename T>
__device__ __forceinline__ void unpool(const T *values, const unsigned char *indices, T *y,
                                       int planes, int height, int width) {
    const int rows = (height + 1) / 2, windows = (width + 1) / 2, bytes = packed_bytes(windows);
    const long long total = static_cast<long long>(planes) * height * bytes;
    for (long long at = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x; at < total;
         at += static_cast<long long>(gridDim.x) * blockDim.x) {
        const int byte = static_cast<int>(at % bytes);
        const long long line = at / bytes;  // plane * height + row of the output
        const int row = static_cast<int>(line % height);
        const long long pooled = (line / height) * rows + row / 2;
        const unsigned packed = indices[pooled * bytes + byte];
        Eight<T> out;
        for (int i = 0; i < 8; ++i) {
            const int window = 4 * byte + i / 2;
            const T value = window < windows ? values[pooled * windows + window] : T{};
            out.cell[i] = unpool_cell(value, unpack(packed, i / 2), row, i, T{});
        }
        T *to = y + line * width + 8 * byte;
        if (8 * byte + 8 <= width && reinterpret_cast<unsigned long long>(to) % sizeof(Eight<T>) == 0) {
            *reinterpret_cast<Eight<T> *>(to) = out;
        } else {
            for (int i = 0; i < 8 && 8 * byte + i < width; ++i) to[i] = out.cell[i];
        }
    }
}

}  // namespace edgeseg

#define EDGESEG_KERNELS(NAME, T)                                                                  \
    extern "C" __global__ void edgeseg_pool_##NAME(const T *x, T *values, unsigned char *indices, \
                                                   int planes, int height, int width) {           \
        edgeseg::pool(x, values, indices, planes, height, width);                                 \
    }                                                                                             \
    extern "C" __global__ void edgeseg_unpool_##NAME(const T *values,                             \
                                                     const unsigned char *indices, T *y,          \
                                                     int planes, int height, int width) {         \
        edgeseg::unpool(values, indices, y, planes, height, width);                               \
    }

EDGESEG_KERNELS(int8, int8_t)
EDGESEG_KERNELS(fp16, edgeseg::Half)
EDGESEG_KERNELS(fp32, float)
