// The arithmetic of products: float32, and bfloat16 summed in float32 where the processor has it.
#pragma once

#include <algorithm>

#include "simd.h"

namespace xfeat {

// How the product of a few rows and columns is computed. Row values are broadcast, columns lie in lanes.
struct InFloat32 {
  using Factor = Floats;
  using Value = float;
  static constexpr int kPerValue = 1;
  static void convert(const float* from, int dim, Value* to) { std::copy(from, from + dim, to); }
  static Factor spread(const Value* row) { return all(*row); }
  static Factor several(const Value* columns) { return load(columns); }
  static Floats step(Floats sum, Factor row, Factor columns) { return fma(row, columns, sum); }
  static float error(int) { return 0; }
  // kLanes neighbouring values each, as the left factor of a next product.
  static void pack(Floats first, Floats second, Value* to) {
    store(to, first);
    store(to + kLanes, second);
  }
};

#if defined(__AVX512BF16__)
struct InBfloat16 {
  using Factor = __m512bh;
  using Value = uint32_t;  // two neighbouring dimensions
  static constexpr int kPerValue = 2;
  static void convert(const float* from, int dim, Value* to) {
    for (int k = 0; k < dim; k += 2) {
      const uint32_t low = rounded(from[k]), high = k + 1 < dim ? rounded(from[k + 1]) : 0;
      *to++ = low | high << 16;
    }
  }
  static Factor spread(const Value* row) { return reinterpret_cast<__m512bh>(_mm512_set1_epi32(*row)); }
  static Factor several(const Value* columns) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(columns)); }
  static Floats step(Floats sum, Factor row, Factor columns) {
    return reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), columns, row));
  }
  static void pack(Floats first, Floats second, Value* to) {
    _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second),
                                                                          reinterpret_cast<__m512>(first))));
  }
  static float error(int dim) { return 0.00391007f + 1.2e-7f * static_cast<float>(dim); }

 private:
  static uint32_t rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  }
};
#endif

}  // namespace xfeat
