// A layer of a perceptron: output = input · weightᵀ + bias, negative values made 0 where asked for.
#pragma once

#include "simd.h"

namespace xfeat {

constexpr int kPanel = 64;  // outputs whose weights lie together

class Linear {
 public:
  // weight: (outputs / 64, inputs, 64). bias: (outputs,).
  Linear(const float* weight, const float* bias, int inputs, int outputs, bool rectify)
      : weight_(weight), bias_(bias), inputs_(inputs), outputs_(outputs), rectify_(rectify) {}

  // input: (rows, inputs). output: (rows, outputs).
  void compute(const float* input, int rows, float* output) const {
    for (int first = 0; first < outputs_; first += kTileVectors * kLanes) {
      int row = 0;
      for (; row + kTileRows <= rows; row += kTileRows) multiply<kTileRows>(input, row, first, output);
      for (; row < rows; ++row) multiply<1>(input, row, first, output);
    }
  }

 private:
  static constexpr int kTileRows = kLanes == 16 ? 6 : 4;
  static constexpr int kTileVectors = kLanes == 16 ? 4 : 2;

  template <int Rows>
  void multiply(const float* input, int row, int first, float* output) const {
    const float* from = input + static_cast<size_t>(row) * inputs_;
    const float* weight = weight_ + static_cast<size_t>(first / kPanel) * inputs_ * kPanel + first % kPanel;
    // All loops over these are unrolled: only then they stay in registers.
    Floats sums[Rows][kTileVectors];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] = load(bias_ + first + v * kLanes);
    for (int k = 0; k < inputs_; ++k) {
      Floats weights[kTileVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) weights[v] = load(weight + static_cast<size_t>(k) * kPanel + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Floats value = all(from[static_cast<size_t>(r) * inputs_ + k]);
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) sums[r][v] = fma(value, weights[v], sums[r][v]);
      }
    }
    float* to = output + static_cast<size_t>(row) * outputs_ + first;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v)
        store(to + static_cast<size_t>(r) * outputs_ + v * kLanes,
              rectify_ ? larger(sums[r][v], all(0.0f)) : sums[r][v]);
  }

  const float *weight_, *bias_;
  int inputs_, outputs_;
  bool rectify_;
};

}  // namespace xfeat
