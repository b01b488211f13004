// The C interface of one processor level. Every function is called by any thread, keeps no state, and returns 0, or 1
// where memory ran out. Shapes and what the arrays hold stand in xfeat_cli/native/functions.py, whose checks they pass.

#include <new>

#include "describe.h"
#include "gray.h"
#include "keypoint_head.h"
#include "linear.h"
#include "match.h"
#include "peaks.h"

#if defined(_WIN32)
#define XFEAT_API extern "C" __declspec(dllexport)
#else
#define XFEAT_API extern "C" __attribute__((visibility("default")))
#endif

namespace {

template <class Work>
int guarded(Work work) noexcept {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

XFEAT_API int32_t xfeat_abi() { return 3; }

XFEAT_API int32_t xfeat_match(const float* rows, int32_t row_count, const float* columns, int32_t column_count,
                              int32_t dim, float min_cosine, float ratio, int32_t* column_of, float* cosine_of) {
  return guarded(
      [&] { xfeat::match(rows, row_count, columns, column_count, dim, min_cosine, ratio, column_of, cosine_of); });
}

XFEAT_API int32_t xfeat_peaks(const float* heat, int32_t height, int32_t width, int64_t stride,
                              const float* reliability, int32_t cell_rows, int32_t cell_columns, float threshold,
                              const uint8_t* allowed, int32_t top_k, float* points, float* scores, int32_t* count) {
  return guarded([&] {
    const xfeat::Map map{heat, height, width, static_cast<size_t>(stride)};
    const xfeat::Map cells{reliability, cell_rows, cell_columns, static_cast<size_t>(cell_columns)};
    *count = xfeat::Peaks(map, cells, threshold, allowed).best(top_k, points, scores);
  });
}

XFEAT_API int32_t xfeat_describe(const float* features, int32_t height, int32_t width, const float* points,
                                 int32_t count, float* descriptors) {
  return guarded([&] { xfeat::describe(features, height, width, points, count, descriptors); });
}

XFEAT_API int32_t xfeat_reduce_gray(const uint8_t* pixels, int32_t height, int32_t width, int32_t channels,
                                    int64_t stride, int32_t to_height, int32_t to_width, float* gray) {
  return guarded([&] {
    xfeat::reduce_gray(pixels, height, width, channels, static_cast<size_t>(stride), to_height, to_width, gray);
  });
}

XFEAT_API int32_t xfeat_linear(const float* input, int32_t rows, int32_t inputs, const float* weight,
                               const float* bias, int32_t outputs, int32_t rectify, float* output) {
  return guarded([&] { xfeat::Linear(weight, bias, inputs, outputs, rectify != 0).compute(input, rows, output); });
}

XFEAT_API int32_t xfeat_keypoint_heatmap(const float* image, int32_t height, int32_t width, const float* weights,
                                         const float* biases, const float* last_weight, const float* last_bias,
                                         int32_t in_bfloat16, float* heatmap) {
  return guarded([&] {
#if defined(__AVX512BF16__)
    if (in_bfloat16 != 0) {
      xfeat::KeypointHead<xfeat::InBfloat16>(weights, biases, last_weight, last_bias, height, width)
          .compute(image, heatmap);
      return;
    }
#else
    (void)in_bfloat16;  // only asked for where there is
#endif
    xfeat::KeypointHead<xfeat::InFloat32>(weights, biases, last_weight, last_bias, height, width)
        .compute(image, heatmap);
  });
}
