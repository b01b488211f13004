// 8-bit pixels → gray in [0, 1], the mean of the colours, reduced by area averaging: one pass, nothing rounded between.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace xfeat {

// What output pixel `at` of an axis reduced `factor` times covers: inputs first … last, the two ends in part.
struct Span {
  int first, last;
  float first_weight, last_weight;  // of one input both are equal

  Span(int at, double factor, int size) {
    const double begin = at * factor, end = std::min(begin + factor, static_cast<double>(size));
    first = std::min(static_cast<int>(begin), size - 1);
    last = std::max(first, static_cast<int>(std::ceil(end - 1e-6)) - 1);
    last = std::min(last, size - 1);
    first_weight = static_cast<float>(first == last ? end - begin : first + 1 - begin);
    last_weight = static_cast<float>(first == last ? end - begin : end - last);
  }

  float weight(int input) const { return input == first ? first_weight : input == last ? last_weight : 1.0f; }
};

// pixels: (height, width, channels) with rows `stride` bytes apart; the first three channels count, or the only one.
static void reduce_gray(const uint8_t* pixels, int height, int width, int channels, size_t stride, int to_height,
                        int to_width, float* gray) {
  const double factor_y = static_cast<double>(height) / to_height, factor_x = static_cast<double>(width) / to_width;
  std::vector<float> sums(static_cast<size_t>(width) * channels + kLanes), line(width);
  std::vector<Span> spans;
  spans.reserve(to_width);
  for (int x = 0; x < to_width; ++x) spans.emplace_back(x, factor_x, width);
  const int colours = channels >= 3 ? 3 : 1;
  const float scale = static_cast<float>(1 / (255.0 * colours * factor_x * factor_y));
  const int values = width * channels;
  for (int y = 0; y < to_height; ++y) {
    const Span rows(y, factor_y, height);
    for (int row = rows.first; row <= rows.last; ++row) {
      const uint8_t* from = pixels + static_cast<size_t>(row) * stride;
      const float weight = rows.weight(row);
      float* to = sums.data();
      if (row == rows.first)
        for (int i = 0; i < values; ++i) to[i] = weight * static_cast<float>(from[i]);
      else
        for (int i = 0; i < values; ++i) to[i] += weight * static_cast<float>(from[i]);
    }
    const float* total = sums.data();
    if (channels == 1)
      std::copy(total, total + width, line.begin());
    else if (channels == 3)
      for (int x = 0; x < width; ++x) line[x] = total[3 * x] + total[3 * x + 1] + total[3 * x + 2];
    else
      for (int x = 0; x < width; ++x)
        line[x] = channels == 4 ? total[4 * x] + total[4 * x + 1] + total[4 * x + 2] : total[channels * x];
    float* to = gray + static_cast<size_t>(y) * to_width;
    for (int x = 0; x < to_width; ++x) {
      const Span& span = spans[x];
      float value = span.first_weight * line[span.first];
      for (int i = span.first + 1; i < span.last; ++i) value += line[i];
      if (span.last > span.first) value += span.last_weight * line[span.last];
      to[x] = value * scale;
    }
  }
}

}  // namespace xfeat
