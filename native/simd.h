// Vectors as wide as the processor level that this is compiled for, with the few operations that the kernels need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace xfeat {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));

static inline Floats load(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

static inline Ints load(const int32_t* from) {
  Ints v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

static inline void store(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }
static inline void store(int32_t* to, Ints v) { std::memcpy(to, &v, sizeof v); }

static inline Floats all(float x) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#elif defined(__AVX2__)
  return _mm256_set1_ps(x);
#else
  return Floats{x, x, x, x};
#endif
}

static inline Ints all(int32_t x) { return Ints{} + x; }

static inline Ints counting() {
  Ints v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// a·b + c, rounded once where the processor can.
static inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

static inline float fma(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

static inline Floats larger(Floats a, Floats b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

static inline Floats smaller(Floats a, Floats b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

static inline float sum(Floats v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(v);
#else
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += v[i];
  return total;
#endif
}

static inline float largest(Floats v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(v);
#else
  float most = v[0];
  for (int i = 1; i < kLanes; ++i) most = v[i] > most ? v[i] : most;
  return most;
#endif
}

static inline bool any(Ints mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
#else
  for (int i = 0; i < kLanes; ++i)
    if (mask[i]) return true;
  return false;
#endif
}

// e^x for x ≤ 0, within 2 ulp; 0 below −87.
static inline Floats exp_of_negative(Floats x) {
  const Floats low = all(-87.0f);
  Floats bounded = larger(x, low);
  Floats scaled = bounded * 1.44269504f - 0.5f;
  Ints whole = __builtin_convertvector(scaled, Ints);  // towards zero: the nearest integer, as scaled is negative
  Floats power = __builtin_convertvector(whole, Floats);
  Floats rest = fma(power, all(-0.693359375f), bounded);
  rest = fma(power, all(2.12194440e-4f), rest);
  Floats p = all(1.9875691500e-4f);
  p = fma(p, rest, all(1.3981999507e-3f));
  p = fma(p, rest, all(8.3334519073e-3f));
  p = fma(p, rest, all(4.1665795894e-2f));
  p = fma(p, rest, all(1.6666665459e-1f));
  p = fma(p, rest, all(5.0000001201e-1f));
  p = fma(p, rest * rest, rest + 1.0f);
  Floats factor = reinterpret_cast<Floats>((whole + 127) << 23);
  Floats result = p * factor;
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(result) & (x >= low));
}

}  // namespace xfeat
