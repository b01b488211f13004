// Descriptors at points: bicubic values of the normalised map of features, normalised again.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace xfeat {

constexpr int kDim = 64, kDescribedCell = 8, kTaps = 4;

// The four neighbours along an axis and their weights: cubic convolution, a = −0.75, edges clamped.
struct Taps {
  int index[kTaps];
  float weight[kTaps];

  Taps(float pixel, int size) {
    const float position = (pixel + 0.5f) * (1.0f / kDescribedCell) - 0.5f;
    const float base = std::floor(position), near = position - base, far = near + 1, after = 1 - near;
    constexpr float a = -0.75f;
    weight[0] = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a;
    weight[1] = ((a + 2) * near - (a + 3)) * near * near + 1;
    weight[2] = ((a + 2) * after - (a + 3)) * after * after + 1;
    weight[3] = 1 - weight[0] - weight[1] - weight[2];
    for (int k = 0; k < kTaps; ++k)
      index[k] = static_cast<int>(std::min(std::max(base + static_cast<float>(k - 1), 0.0f), static_cast<float>(size - 1)));
  }
};

static inline float inverse_norm(const Floats (&values)[kDim / kLanes]) {
  Floats total = values[0] * values[0];
  for (int v = 1; v < kDim / kLanes; ++v) total = fma(values[v], values[v], total);
  return 1 / std::max(std::sqrt(sum(total)), 1e-12f);
}

// features: (height, width, 64). points: (count, 2), x and y in pixels. descriptors: (count, 64).
static void describe(const float* features, int height, int width, const float* points, int count, float* descriptors) {
  constexpr int kVectors = kDim / kLanes;
  std::vector<float> inverse(static_cast<size_t>(height) * width);
  Floats values[kVectors];
  for (size_t cell = 0; cell < inverse.size(); ++cell) {
    for (int v = 0; v < kVectors; ++v) values[v] = load(features + cell * kDim + v * kLanes);
    inverse[cell] = inverse_norm(values);
  }
  for (int i = 0; i < count; ++i) {
    const Taps x(points[2 * static_cast<size_t>(i)], width), y(points[2 * static_cast<size_t>(i) + 1], height);
    for (auto& value : values) value = all(0.0f);
    for (int row = 0; row < kTaps; ++row)
      for (int column = 0; column < kTaps; ++column) {
        const size_t cell = static_cast<size_t>(y.index[row]) * width + x.index[column];
        const Floats weight = all(y.weight[row] * x.weight[column] * inverse[cell]);
        for (int v = 0; v < kVectors; ++v) values[v] = fma(weight, load(features + cell * kDim + v * kLanes), values[v]);
      }
    const float scale = inverse_norm(values);
    for (int v = 0; v < kVectors; ++v) store(descriptors + static_cast<size_t>(i) * kDim + v * kLanes, values[v] * scale);
  }
}

}  // namespace xfeat
