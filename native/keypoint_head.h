// The whole keypoint head of all four grids of cells, from the image to the heatmap: a few cells pass through all layers
// while they are in registers and the first cache.
#pragma once

#include <vector>

#include "arithmetic.h"
#include "heat.h"
#include "simd.h"

namespace xfeat {

template <class Kind>
class KeypointHead {
 public:
  static constexpr int kLayers = 3;

  // weights: (3, 64, 64), of which the first takes a cell's upper left, upper right, lower left and lower right block.
  // biases: (3, 64). Each layer is followed by a ReLU. last_weight (65, 64), last_bias (65,): as of `Heatmap`.
  KeypointHead(const float* weights, const float* biases, const float* last_weight, const float* last_bias, int height,
               int width)
      : biases_(biases), rows_(height / kBlock), columns_(width / kBlock),
        stride_((static_cast<size_t>(columns_) * kBlockPixels + kPacked - 1) / kPacked * kPacked / Kind::kPerValue),
        weights_(static_cast<size_t>(kLayers) * kSteps * kHidden), blocks_(stride_ * rows_),
        heatmap_(last_weight, last_bias, rows_ - 1, columns_ - 1) {
    std::vector<Value> values(kSteps);
    for (int layer = 0; layer < kLayers; ++layer)
      for (int output = 0; output < kHidden; ++output) {
        Kind::convert(weights + (static_cast<size_t>(layer) * kHidden + output) * kHidden, kHidden, values.data());
        for (int k = 0; k < kSteps; ++k) weights_[(layer * kSteps + k) * kHidden + output] = values[k];
      }
  }

  // image, heatmap: (height, width), multiples of 4 and at least 8.
  void compute(const float* image, float* heatmap) {
    pack(image);
    for (int row = 0; row + 1 < rows_; ++row) {
      int column = 0;
      for (; column + kCells < columns_; column += kCells) add<kCells>(row, column);
      for (; column + 1 < columns_; ++column) add<1>(row, column);
      heatmap_.finish(row, heatmap);
    }
    heatmap_.finish(rows_ - 1, heatmap);
  }

 private:
  using Value = typename Kind::Value;
  static constexpr int kCells = Heatmap::kCells, kPacked = 2 * kLanes;
  static constexpr int kSteps = kHidden / Kind::kPerValue, kValuesOfBlock = kBlockPixels / Kind::kPerValue;
  static constexpr int kVectors = kHidden / kLanes, kTileVectors = kLanes == 16 ? 4 : 2;

  // The image's blocks, the 16 pixels of each together.
  void pack(const float* image) {
    const size_t width = static_cast<size_t>(columns_) * kBlock;
    std::vector<float> line(stride_ * Kind::kPerValue, 0.0f);
    for (int row = 0; row < rows_; ++row) {
      const float* from = image + static_cast<size_t>(row) * kBlock * width;
      for (int column = 0; column < columns_; ++column)
        for (int y = 0; y < kBlock; ++y)
          std::memcpy(&line[static_cast<size_t>(column) * kBlockPixels + y * kBlock], from + y * width + column * kBlock,
                      kBlock * sizeof(float));
      Value* to = &blocks_[row * stride_];
      for (size_t i = 0; i < line.size(); i += kPacked)
        Kind::pack(load(&line[i]), load(&line[i + kLanes]), to + i / Kind::kPerValue);
    }
  }

  template <int Cells>
  void add(int row, int column) {
    alignas(64) Value values[Cells * kSteps];
    alignas(64) float hidden[Cells * kHidden];
    const Value* upper = &blocks_[row * stride_ + static_cast<size_t>(column) * kValuesOfBlock];
    for (int layer = 0; layer < kLayers; ++layer) {
      const Value* weight = &weights_[static_cast<size_t>(layer) * kSteps * kHidden];
      for (int first = 0; first < kHidden; first += kTileVectors * kLanes)
        if (layer == 0)
          multiply<Cells, kSteps / 2>(upper, upper + stride_, kValuesOfBlock, weight + first, biases_ + first,
                                      hidden + first);
        else
          multiply<Cells, kSteps / 2>(values, values + kSteps / 2, kSteps, weight + first,
                                      biases_ + layer * kHidden + first, hidden + first);
      if (layer + 1 < kLayers)
        for (int i = 0; i < Cells * kHidden; i += kPacked)
          Kind::pack(load(hidden + i), load(hidden + i + kLanes), values + i / Kind::kPerValue);
    }
    heatmap_.add<Cells>(hidden, row, column);
  }

  // Some outputs of a layer for neighbouring cells, whose inputs lie in two parts, `apart` values from cell to cell.
  template <int Cells, int Steps>
  void multiply(const Value* first, const Value* second, int apart, const Value* weight, const float* bias,
                float* output) const {
    // All loops over these are unrolled: only then they stay in registers.
    Floats sums[Cells][kTileVectors];
#pragma GCC unroll 8
    for (int c = 0; c < Cells; ++c)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sums[c][v] = load(bias + v * kLanes);
    for (const Value* part : {first, second}) {
      for (int k = 0; k < Steps; ++k) {
        typename Kind::Factor weights[kTileVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) weights[v] = Kind::several(weight + k * kHidden + v * kLanes);
#pragma GCC unroll 8
        for (int c = 0; c < Cells; ++c) {
          const typename Kind::Factor value = Kind::spread(part + c * apart + k);
#pragma GCC unroll 8
          for (int v = 0; v < kTileVectors; ++v) sums[c][v] = Kind::step(sums[c][v], value, weights[v]);
        }
      }
      weight += Steps * kHidden;
    }
#pragma GCC unroll 8
    for (int c = 0; c < Cells; ++c)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v)
        store(output + c * kHidden + v * kLanes, larger(sums[c][v], all(0.0f)));
  }

  const float* biases_;
  int rows_, columns_;
  size_t stride_;
  std::vector<Value> weights_, blocks_;
  Heatmap heatmap_;
};

}  // namespace xfeat
