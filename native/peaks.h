// Local maxima of a heatmap, the best of them, and where they lie between pixels.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace xfeat {

constexpr int kRadius = 2, kCell = 8;

struct Map {
  const float* values;
  int height, width;
  size_t stride;
  const float* row(int y) const { return values + static_cast<size_t>(y) * stride; }
};

struct Peak {
  float score;
  int32_t y, x;
  bool operator<(const Peak& other) const {  // better ones first, equal ones in the order of their pixels
    if (score != other.score) return score > other.score;
    return y != other.y ? y < other.y : x < other.x;
  }
};

// The value of a map of cells at a pixel of the image, bilinear, edges clamped.
static inline float at_pixel(const Map& cells, int y, int x) {
  auto clamped = [](float v, int size) { return std::min(std::max(v, 0.0f), static_cast<float>(size - 1)); };
  const float u = clamped((static_cast<float>(x) + 0.5f) * (1.0f / kCell) - 0.5f, cells.width);
  const float v = clamped((static_cast<float>(y) + 0.5f) * (1.0f / kCell) - 0.5f, cells.height);
  const int left = static_cast<int>(u), top = static_cast<int>(v);
  const int right = std::min(left + 1, cells.width - 1), bottom = std::min(top + 1, cells.height - 1);
  const float du = u - static_cast<float>(left), dv = v - static_cast<float>(top);
  const float upper = cells.row(top)[left] * (1 - du) + cells.row(top)[right] * du;
  const float lower = cells.row(bottom)[left] * (1 - du) + cells.row(bottom)[right] * du;
  return upper * (1 - dv) + lower * dv;
}

class Peaks {
 public:
  // allowed: (height, width), 0 = no peak here, or null.
  Peaks(const Map& heat, const Map& reliability, float threshold, const uint8_t* allowed)
      : heat_(heat), reliability_(reliability), threshold_(threshold), allowed_(allowed),
        padded_(heat.width + 2 * kRadius + kLanes), across_((2 * kRadius + 1) * (heat.width + kLanes)) {
    find();
  }

  // Points (K, 2) and scores (K,) of the best; returns K ≤ top_k.
  int best(int top_k, float* points, float* scores) {
    if (static_cast<int64_t>(peaks_.size()) > top_k) {
      std::nth_element(peaks_.begin(), peaks_.begin() + top_k, peaks_.end());
      peaks_.resize(top_k);
    }
    std::sort(peaks_.begin(), peaks_.end());
    int count = 0;
    for (const Peak& peak : peaks_)
      if (peak.score > 0 && locate(peak, points + 2 * static_cast<size_t>(count))) scores[count++] = peak.score;
    return count;
  }

 private:
  float* across(int y) { return &across_[static_cast<size_t>(y % (2 * kRadius + 1)) * (heat_.width + kLanes)]; }

  // The largest of each pixel's neighbours along its row.
  void dilate_row(int y) {
    std::fill(padded_.begin(), padded_.end(), -INFINITY);
    std::copy(heat_.row(y), heat_.row(y) + heat_.width, padded_.begin() + kRadius);
    float* to = across(y);
    for (int x = 0; x < heat_.width; x += kLanes) {
      const float* from = &padded_[x];
      const Floats outer = larger(load(from), load(from + 4)), inner = larger(load(from + 1), load(from + 3));
      store(to + x, larger(larger(outer, inner), load(from + 2)));
    }
  }

  void find() {
    for (int y = 0; y < std::min(kRadius, heat_.height); ++y) dilate_row(y);
    std::vector<float> line(heat_.width + kLanes, -INFINITY);
    for (int y = 0; y < heat_.height; ++y) {
      if (y + kRadius < heat_.height) dilate_row(y + kRadius);
      const int first = std::max(0, y - kRadius), last = std::min(heat_.height - 1, y + kRadius);
      std::copy(heat_.row(y), heat_.row(y) + heat_.width, line.begin());
      for (int x = 0; x < heat_.width; x += kLanes) {
        const Floats here = load(&line[x]);
        Ints is_peak = here > threshold_;
        if (!any(is_peak)) continue;
        Floats most = here;
        for (int row = first; row <= last; ++row) most = larger(most, load(across(row) + x));
        is_peak &= here >= most;
        if (!any(is_peak)) continue;
        for (int lane = 0; lane < kLanes; ++lane)
          if (is_peak[lane]) add(y, x + lane);
      }
    }
  }

  void add(int y, int x) {
    if (allowed_ != nullptr && allowed_[static_cast<size_t>(y) * heat_.width + x] == 0) return;
    peaks_.push_back({heat_.row(y)[x] * at_pixel(reliability_, y, x), y, x});
  }

  // The centroid around a peak; false if an earlier neighbour is as high. At the image's edge only those neighbours
  // count whose mirror image lies inside too.
  bool locate(const Peak& peak, float* point) const {
    const int reach_x = std::min({kRadius, peak.x, heat_.width - 1 - peak.x});
    const int reach_y = std::min({kRadius, peak.y, heat_.height - 1 - peak.y});
    const float height = heat_.row(peak.y)[peak.x];
    float total = 0, along_x = 0, along_y = 0;
    for (int dy = -kRadius; dy <= kRadius; ++dy) {
      const int y = peak.y + dy;
      if (y < 0 || y >= heat_.height) continue;
      for (int dx = -kRadius; dx <= kRadius; ++dx) {
        const int x = peak.x + dx;
        if (x < 0 || x >= heat_.width) continue;
        const float value = heat_.row(y)[x];
        if (value == height && (dy < 0 || (dy == 0 && dx < 0))) return false;
        if (std::abs(dx) > reach_x || std::abs(dy) > reach_y) continue;
        total += value;
        along_x += value * static_cast<float>(dx);
        along_y += value * static_cast<float>(dy);
      }
    }
    total = std::max(total, 1e-12f);
    point[0] = static_cast<float>(peak.x) + along_x / total;
    point[1] = static_cast<float>(peak.y) + along_y / total;
    return true;
  }

  Map heat_, reliability_;
  float threshold_;
  const uint8_t* allowed_;
  std::vector<float> padded_, across_;
  std::vector<Peak> peaks_;
};

}  // namespace xfeat
