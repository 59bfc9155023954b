// What one 2x2 window does, for the kernels, the C++ test on a CPU, and nothing else.
//
// A window keeps the place of its first largest cell, in scan order, in two bits: 0 upper left,
// 1 upper right, 2 lower left, 3 lower right. Four windows of one row share a byte, the leftmost in
// its lowest bits. Ties and NaN fall as in torch.nn.functional.max_pool2d(return_indices=True):
// the first of equals wins, and a NaN wins over everything before it.
#pragma once

#if defined(__CUDACC__)
#define EDGESEG_HD __host__ __device__ __forceinline__
#else
#define EDGESEG_HD inline
#endif

namespace edgeseg {

// Bytes of one row of indices of `windows` windows.
EDGESEG_HD int packed_bytes(int windows) { return (windows + 3) / 4; }

// Whether `next` takes the place of `best` as the maximum.
template <typename T>
EDGESEG_HD bool takes_over(T best, T next) {
    return next > best || next != next;
}

// The window's largest value; `place` gets where it is. A cell below or right of an odd-sized
// plane's end does not exist: `has_right`, `has_below`.
template <typename T>
EDGESEG_HD T pool_window(T a, T b, T c, T d, bool has_right, bool has_below, unsigned &place) {
    T best = a;
    place = 0;
    if (has_right && takes_over(best, b)) {
        best = b;
        place = 1;
    }
    if (has_below && takes_over(best, c)) {
        best = c;
        place = 2;
    }
    if (has_right && has_below && takes_over(best, d)) {
        best = d;
        place = 3;
    }
    return best;
}

// A window's place among the four of a byte.
EDGESEG_HD unsigned unpack(unsigned byte, int window) { return (byte >> (2 * (window & 3))) & 3u; }

EDGESEG_HD unsigned pack(unsigned place, int window) { return place << (2 * (window & 3)); }

// What cell (row, column) of the un-pooled plane holds.
template <typename T>
EDGESEG_HD T unpool_cell(T value, unsigned place, int row, int column, T zero) {
    return place == static_cast<unsigned>(2 * (row & 1) + (column & 1)) ? value : zero;
}

}  // namespace edgeseg
