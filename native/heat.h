// The keypoint head's last layer, softmax and the mean over four grids of cells, fused: logits are never stored.
#pragma once

#include <cmath>
#include <vector>

#include "simd.h"

namespace xfeat {

constexpr int kHidden = 64, kBlock = 4, kBlockPixels = kBlock * kBlock, kPositions = 64;

class Heatmap {
 public:
  // weight: (65, 64), bias: (65,): 64 positions in the order of blocks, then the dustbin.
  Heatmap(const float* weight, const float* bias, int rows, int columns)
      : rows_(rows), columns_(columns), weight_(kHidden * kPositions), dustbin_(weight + kPositions * kHidden),
        bias_(bias), sums_(2 * static_cast<size_t>(columns + 1) * kBlockPixels, 0.0f) {
    for (int position = 0; position < kPositions; ++position)
      for (int k = 0; k < kHidden; ++k) weight_[k * kPositions + position] = weight[position * kHidden + k];
  }

  static constexpr int kCells = 6;

  // A row of cells is added cell after cell, then finished; last, the row of blocks below it is finished too.

  // Adds the probabilities of neighbouring cells, (Cells, 64) hidden values, to the sums of their blocks.
  template <int Cells>
  void add(const float* from, int row, int column) {
    float* here = sums_of(row);
    float* below = sums_of(row + 1);
    Floats logits[Cells][kVectors];
    for (int first = 0; first < kVectors; first += kTileVectors) multiply<Cells>(from, first, logits);
    for (int c = 0; c < Cells; ++c) {
      Floats dot = all(0.0f);
      for (int k = 0; k < kHidden; k += kLanes) dot = fma(load(from + c * kHidden + k), load(dustbin_ + k), dot);
      const float dustbin = sum(dot) + bias_[kPositions];
      Floats most = logits[c][0];
      for (int v = 1; v < kVectors; ++v) most = larger(most, logits[c][v]);
      const float top = std::fmax(largest(most), dustbin);
      Floats total = exp_of_negative(all(dustbin - top)) / static_cast<float>(kLanes);
      for (int v = 0; v < kVectors; ++v) {
        logits[c][v] = exp_of_negative(logits[c][v] - top);
        total += logits[c][v];
      }
      const float share = 1 / sum(total);
      float* upper = here + static_cast<size_t>(column + c) * kBlockPixels;
      float* lower = below + static_cast<size_t>(column + c) * kBlockPixels;
      // Upper left and upper right are neighbours in memory, and so are lower left and lower right.
      for (int v = 0; v < 2 * kBlockVectors; ++v) {
        store(upper + v * kLanes, fma(logits[c][v], all(share), load(upper + v * kLanes)));
        store(lower + v * kLanes, fma(logits[c][v + 2 * kBlockVectors], all(share), load(lower + v * kLanes)));
      }
    }
  }

  // Writes a row of blocks and clears its sums. Inside, a block lies in a cell of each grid; at an edge, of two.
  void finish(int row, float* heatmap) {
    float* sums = sums_of(row);
    const size_t width = static_cast<size_t>(columns_ + 1) * kBlock;
    const float across = row == 0 || row == rows_ ? 1.0f : 0.5f;
    for (int y = 0; y < kBlock; ++y) {
      float* to = heatmap + (static_cast<size_t>(row) * kBlock + y) * width;
      for (int block = 0; block <= columns_; ++block) {
        const float factor = block == 0 || block == columns_ ? across : 0.5f * across;
        for (int x = 0; x < kBlock; ++x) to[block * kBlock + x] = sums[block * kBlockPixels + y * kBlock + x] * factor;
      }
    }
    std::memset(sums, 0, static_cast<size_t>(columns_ + 1) * kBlockPixels * sizeof *sums);
  }

 private:
  static constexpr int kTileVectors = kLanes == 16 ? 4 : 2;
  static constexpr int kVectors = kPositions / kLanes, kBlockVectors = kBlockPixels / kLanes;

  float* sums_of(int row) { return &sums_[static_cast<size_t>(row % 2) * (columns_ + 1) * kBlockPixels]; }

  template <int Cells>
  void multiply(const float* from, int first, Floats (&logits)[Cells][kVectors]) const {
    // All loops over these are unrolled: only then they stay in registers.
    Floats sums[Cells][kTileVectors];
#pragma GCC unroll 8
    for (int c = 0; c < Cells; ++c)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sums[c][v] = load(bias_ + (first + v) * kLanes);
    for (int k = 0; k < kHidden; ++k) {
      Floats weights[kTileVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) weights[v] = load(&weight_[k * kPositions + (first + v) * kLanes]);
#pragma GCC unroll 8
      for (int c = 0; c < Cells; ++c) {
        const Floats value = all(from[c * kHidden + k]);
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) sums[c][v] = fma(value, weights[v], sums[c][v]);
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < Cells; ++c)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) logits[c][first + v] = sums[c][v];
  }

  int rows_, columns_;
  std::vector<float> weight_;
  const float *dustbin_, *bias_;
  std::vector<float> sums_;
};

}  // namespace xfeat
