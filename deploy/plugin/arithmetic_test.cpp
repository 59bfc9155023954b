// The plugin's arithmetic on a CPU, as a shared library for tests/unit/deploy/test_plugin.py.
#include "arithmetic.h"

namespace {

template <typename T>
void pool(const T *x, T *values, unsigned char *indices, int planes, int height, int width) {
    const int rows = (height + 1) / 2, windows = (width + 1) / 2;
    const int bytes = edgeseg::packed_bytes(windows);
    for (int i = 0; i < planes * rows * bytes; ++i) indices[i] = 0;
    for (int line = 0; line < planes * rows; ++line) {
        const int row = line % rows;
        const T *upper = x + (line / rows * height + 2 * row) * width;
        const bool below = 2 * row + 1 < height;
        const T *lower = below ? upper + width : upper;
        for (int w = 0; w < windows; ++w) {
            const bool right = 2 * w + 1 < width;
            const int next = right ? 2 * w + 1 : 2 * w;
            unsigned place;
            values[line * windows + w] = edgeseg::pool_window(
                upper[2 * w], upper[next], lower[2 * w], lower[next], right, below, place);
            indices[line * bytes + w / 4] |= static_cast<unsigned char>(edgeseg::pack(place, w));
        }
    }
}

template <typename T>
void unpool(const T *values, const unsigned char *indices, T *y, int planes, int height, int width) {
    const int rows = (height + 1) / 2, windows = (width + 1) / 2;
    const int bytes = edgeseg::packed_bytes(windows);
    for (int line = 0; line < planes * height; ++line) {
        const int row = line % height, pooled = line / height * rows + row / 2;
        for (int column = 0; column < width; ++column) {
            const int w = column / 2;
            const unsigned place = edgeseg::unpack(indices[pooled * bytes + w / 4], w);
            y[line * width + column] =
                edgeseg::unpool_cell(values[pooled * windows + w], place, row, column, T(0));
        }
    }
}

}  // namespace

#define EDGESEG_CPU(NAME, T)                                                                      \
    extern "C" void pool_##NAME(const T *x, T *values, unsigned char *indices, int planes,        \
                                int height, int width) {                                          \
        pool(x, values, indices, planes, height, width);                                          \
    }                                                                                             \
    extern "C" void unpool_##NAME(const T *values, const unsigned char *indices, T *y,            \
                                  int planes, int height, int width) {                            \
        unpool(values, indices, y, planes, height, width);                                        \
    }

EDGESEG_CPU(int8, signed char)
EDGESEG_CPU(fp32, float)
