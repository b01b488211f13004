// Mutual nearest neighbours of unit vectors, both directions from one product that is never stored.
//
// Each row keeps, by lane, the largest and second largest cosine and the largest one's column; each column keeps the
// largest and the second largest. In bfloat16 (two unit vectors' cosine is at most 2^-8 + 2^-18 off, by Cauchy-Schwarz,
// plus the rounding of the sums) these say which neighbours cannot be told from the nearest; those, and only those, are
// computed again in float32, so that the neighbours are those of float32.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "arithmetic.h"
#include "simd.h"

namespace xfeat {

constexpr float kNone = -3.0f;  // less than any cosine

template <class Kind>
class Product {
 public:
  Product(const float* rows, int row_count, const float* columns, int column_count, int dim)
      : rows_(rows), columns_(columns), row_count_(row_count), column_count_(column_count), dim_(dim),
        steps_((dim + Kind::kPerValue - 1) / Kind::kPerValue),
        row_tiles_((row_count + kTileRows - 1) / kTileRows), vectors_((column_count + kLanes - 1) / kLanes),
        left_(static_cast<size_t>(row_tiles_) * kTileRows * steps_, 0),
        right_(padded_vectors() * kLanes * steps_, 0),
        row_best_(static_cast<size_t>(row_tiles_) * kTileRows * kLanes, kNone), row_second_(row_best_),
        row_vector_(row_best_.size(), 0),
        column_best_(padded_vectors() * kLanes, kNone), column_second_(column_best_) {
    pack();
  }

  void search() {
    // Columns that stay in the first cache while all rows pass.
    const int fit = kBlockBytes / (steps_ * kLanes * static_cast<int>(sizeof(typename Kind::Value)));
    const int block = std::max(1, fit / kTileVectors) * kTileVectors;
    for (int first = 0; first < vectors_; first += block) {
      const int end = std::min(first + block, vectors_);
      for (int tile = 0; tile < row_tiles_; ++tile)
        for (int vector = first; vector < end; vector += kTileVectors) multiply(tile, vector);
    }
  }

  // The column of each row's match, or −1, and its cosine in float32.
  void matches(float min_cosine, float ratio, int32_t* column_of, float* cosine_of) const {
    std::vector<Nearest> nearest(row_count_);
    std::vector<char> is_open(column_count_, 0), taken(column_count_, 0);
    std::vector<int> open_rows;
    for (int row = 0; row < row_count_; ++row) {
      nearest[row] = nearest_of(row, min_cosine);
      if (nearest[row].column == kOpenRow) open_rows.push_back(row);
    }
    search_in_float32(open_rows, nearest);
    for (int row = 0; row < row_count_; ++row) {
      Nearest& found = nearest[row];
      if (found.column >= 0 && !(found.cosine >= min_cosine)) found.column = -1;
      if (found.column >= 0 && ratio < 1 && !passes(found.cosine, found.second, ratio)) found.column = -1;
      if (found.column >= 0 && standing(found) == Standing::kOpen) is_open[found.column] = 1;
    }
    const std::vector<float> exact_best = best_in_float32(is_open);
    for (int row = 0; row < row_count_; ++row) {
      const Nearest& found = nearest[row];
      column_of[row] = -1;
      if (found.column < 0 || taken[found.column]) continue;
      const Standing here = standing(found);
      if (here == Standing::kBeaten || (here == Standing::kOpen && found.cosine < exact_best[found.column])) continue;
      taken[found.column] = 1;
      column_of[row] = found.column;
      cosine_of[row] = found.cosine;
    }
  }

  struct Nearest {
    int column;
    float cosine, second;
    float rough;  // the cosine as the product gave it
  };

  // A row's nearest column and the second largest cosine, in float32; of no column where all are below `min_cosine`.
  Nearest nearest_of(int row, float min_cosine) const {
    const size_t at = static_cast<size_t>(row) * kLanes;
    Nearest nearest{-1, kNone, kNone, kNone};
    for (int lane = 0; lane < kLanes; ++lane) {
      const float cosine = row_best_[at + lane];
      const int column = row_vector_[at + lane] * kLanes + lane;
      const bool better = cosine > nearest.rough || (cosine == nearest.rough && column < nearest.column);
      nearest.second = std::max(nearest.second, better ? nearest.rough : cosine);
      nearest.second = std::max(nearest.second, row_second_[at + lane]);
      if (better) nearest.rough = cosine, nearest.column = column;
    }
    if (error_ == 0) {
      nearest.cosine = nearest.rough;
      return nearest;
    }
    if (nearest.rough < min_cosine - error_) return {-1, kNone, kNone, kNone};
    return nearest.second < nearest.rough - 2 * error_ ? exact(row, nearest.column, nearest.rough) : among(row, nearest);
  }

  // Each column's largest cosine.
  const std::vector<float>& column_best() const { return column_best_; }

 private:
  static constexpr int kTileRows = kLanes == 16 ? 6 : 4;
  static constexpr int kTileVectors = kLanes == 16 ? 4 : 2;
  static constexpr int kBlockBytes = 32 << 10;
  static constexpr int kOpenRow = -2;

  size_t padded_vectors() const {
    return static_cast<size_t>((vectors_ + kTileVectors - 1) / kTileVectors) * kTileVectors;
  }

  void pack() {
    std::vector<typename Kind::Value> values(steps_);
    for (int row = 0; row < row_count_; ++row) {
      Kind::convert(rows_ + static_cast<size_t>(row) * dim_, dim_, values.data());
      typename Kind::Value* to =
          &left_[static_cast<size_t>(row / kTileRows) * kTileRows * steps_ + row % kTileRows];
      for (int k = 0; k < steps_; ++k) to[static_cast<size_t>(k) * kTileRows] = values[k];
    }
    for (int column = 0; column < column_count_; ++column) {
      Kind::convert(columns_ + static_cast<size_t>(column) * dim_, dim_, values.data());
      typename Kind::Value* to = &right_[static_cast<size_t>(column / kLanes) * steps_ * kLanes + column % kLanes];
      for (int k = 0; k < steps_; ++k) to[static_cast<size_t>(k) * kLanes] = values[k];
    }
    error_ = Kind::error(dim_);
  }

  void multiply(int tile, int vector) {
    const typename Kind::Value* left = &left_[static_cast<size_t>(tile) * kTileRows * steps_];
    const typename Kind::Value* right = &right_[static_cast<size_t>(vector) * steps_ * kLanes];
    Floats sums[kTileRows][kTileVectors];
    // All loops over these are unrolled: only then they stay in registers.
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] = all(0.0f);
    for (int k = 0; k < steps_; ++k) {
      typename Kind::Factor columns[kTileVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v)
        columns[v] = Kind::several(right + (static_cast<size_t>(v) * steps_ + k) * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; ++r) {
        const typename Kind::Factor row = Kind::spread(left + static_cast<size_t>(k) * kTileRows + r);
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) sums[r][v] = Kind::step(sums[r][v], row, columns[v]);
      }
    }
    // Columns beyond the last are nobody's neighbours.
    if ((vector + kTileVectors) * kLanes > column_count_)
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) {
        const Ints outside = counting() + (vector + v) * kLanes >= column_count_;
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; ++r) sums[r][v] = outside ? all(kNone) : sums[r][v];
      }
    const int rows = std::min(kTileRows, row_count_ - tile * kTileRows);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const size_t at = (static_cast<size_t>(tile) * kTileRows + r) * kLanes;
      Floats best = load(&row_best_[at]), second = load(&row_second_[at]);
      Ints where = load(&row_vector_[at]);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) {
        const Floats cosine = sums[r][v];
        where = cosine > best ? all(static_cast<int32_t>(vector + v)) : where;
        second = larger(second, smaller(cosine, best));
        best = larger(best, cosine);
      }
      store(&row_best_[at], best);
      store(&row_second_[at], second);
      store(&row_vector_[at], where);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) {
      const size_t at = (static_cast<size_t>(vector) + v) * kLanes;
      Floats best = load(&column_best_[at]), second = load(&column_second_[at]);
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; ++r)
        if (r < rows) {
          second = larger(second, smaller(sums[r][v], best));
          best = larger(best, sums[r][v]);
        }
      store(&column_best_[at], best);
      store(&column_second_[at], second);
    }
  }

  // The nearest of those that cannot be told from it; `kOpenRow` where not all of them were kept.
  Nearest among(int row, const Nearest& rough) const {
    const size_t at = static_cast<size_t>(row) * kLanes;
    const float least = rough.rough - 2 * error_;
    Nearest nearest{-1, kNone, kNone, kNone};
    for (int lane = 0; lane < kLanes; ++lane) {
      if (row_best_[at + lane] < least) continue;
      if (row_second_[at + lane] >= least) return {kOpenRow, kNone, kNone, kNone};
      const int column = row_vector_[at + lane] * kLanes + lane;
      const Nearest other = exact(row, column, row_best_[at + lane]);
      if (other.cosine > nearest.cosine || (other.cosine == nearest.cosine && column < nearest.column)) nearest = other;
    }
    return nearest;
  }

  // The nearest of some rows, by comparing them with all columns in float32.
  void search_in_float32(const std::vector<int>& rows, std::vector<Nearest>& nearest) const {
    if (rows.empty()) return;
    std::vector<float> gathered(rows.size() * dim_);
    for (size_t i = 0; i < rows.size(); ++i)
      std::copy_n(rows_ + static_cast<size_t>(rows[i]) * dim_, dim_, &gathered[i * dim_]);
    Product<InFloat32> product(gathered.data(), static_cast<int>(rows.size()), columns_, column_count_, dim_);
    product.search();
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto found = product.nearest_of(static_cast<int>(i), kNone);
      // The product in bfloat16 did not say which column this is.
      nearest[rows[i]] = {found.column, found.cosine, found.second, kNone};
    }
  }

  Nearest exact(int row, int column, float rough) const { return {column, dot(row, column), kNone, rough}; }

  // Whether a row's nearest column has no row that is nearer.
  enum class Standing { kBest, kBeaten, kOpen };

  Standing standing(const Nearest& nearest) const {
    const float best = column_best_[nearest.column];
    if (error_ == 0) return nearest.cosine >= best ? Standing::kBest : Standing::kBeaten;
    if (nearest.cosine < best - error_) return Standing::kBeaten;
    const bool alone = nearest.rough == best && column_second_[nearest.column] < best - 2 * error_;
    return alone ? Standing::kBest : Standing::kOpen;
  }

  // The largest cosine in float32 of each column that is open.
  std::vector<float> best_in_float32(const std::vector<char>& is_open) const {
    std::vector<int> open;
    for (int column = 0; column < column_count_; ++column)
      if (is_open[column]) open.push_back(column);
    std::vector<float> best(open.empty() ? 0 : column_count_, kNone), gathered(open.size() * dim_);
    if (open.empty()) return best;
    for (size_t i = 0; i < open.size(); ++i)
      std::copy_n(columns_ + static_cast<size_t>(open[i]) * dim_, dim_, &gathered[i * dim_]);
    Product<InFloat32> product(rows_, row_count_, gathered.data(), static_cast<int>(open.size()), dim_);
    product.search();
    for (size_t i = 0; i < open.size(); ++i) best[open[i]] = product.column_best()[i];
    return best;
  }

  // As `InFloat32` sums, so that both give the same bits.
  float dot(int row, int column) const {
    const float* a = rows_ + static_cast<size_t>(row) * dim_;
    const float* b = columns_ + static_cast<size_t>(column) * dim_;
    float total = 0;
    for (int k = 0; k < dim_; ++k) total = fma(a[k], b[k], total);
    return total;
  }

  static bool passes(float cosine, float second, float ratio) {
    auto distance = [](float c) { return std::sqrt(std::max(2 - 2 * c, 0.0f)); };
    return distance(cosine) <= ratio * distance(second);
  }

  const float *rows_, *columns_;
  int row_count_, column_count_, dim_, steps_, row_tiles_, vectors_;
  float error_ = 0;
  std::vector<typename Kind::Value> left_, right_;
  std::vector<float> row_best_, row_second_;
  std::vector<int32_t> row_vector_;
  std::vector<float> column_best_, column_second_;
};

template <class Kind>
void match_as(const float* rows, int row_count, const float* columns, int column_count, int dim, float min_cosine,
              float ratio, int32_t* column_of, float* cosine_of) {
  Product<Kind> product(rows, row_count, columns, column_count, dim);
  product.search();
  product.matches(min_cosine, ratio, column_of, cosine_of);
}

static void match(const float* rows, int row_count, const float* columns, int column_count, int dim, float min_cosine,
                  float ratio, int32_t* column_of, float* cosine_of) {
#if defined(__AVX512BF16__)
  if (ratio >= 1) {
    match_as<InBfloat16>(rows, row_count, columns, column_count, dim, min_cosine, ratio, column_of, cosine_of);
    return;
  }
#endif
  match_as<InFloat32>(rows, row_count, columns, column_count, dim, min_cosine, ratio, column_of, cosine_of);
}

}  // namespace xfeat
