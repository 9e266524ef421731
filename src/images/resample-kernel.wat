;; The two passes of resample.ts with 128-bit vectors: 32-bit fixed-point sums, wrapped, shifted and clamped as there.
(module
  (memory (export "memory") 1)
  ;; One row of RGB pixels along x: pixel x of `out` is the weighted sum of count[x] source pixels from first[x] on.
  ;; A vector holds a pixel, and its fourth lane the next one's red, which the next store replaces.
  (func (export "across")
    (param $source i32) (param $out i32) (param $width i32)
    (param $first i32) (param $count i32) (param $weights i32) (param $stride i32)
    (local $at i32) (local $w i32) (local $end i32) (local $sum v128)
    (loop $pixels
      (local.set $sum (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
      (local.set $at (i32.add (local.get $source) (i32.mul (i32.load (local.get $first)) (i32.const 3))))
      (local.set $w (local.get $weights))
      (local.set $end (i32.add (local.get $weights) (i32.shl (i32.load (local.get $count)) (i32.const 2))))
      (block $done
        (loop $taps
          (br_if $done (i32.ge_u (local.get $w) (local.get $end)))
          (local.set $sum (i32x4.add (local.get $sum) (i32x4.mul
            (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $at))))
            (v128.load32_splat (local.get $w)))))
          (local.set $at (i32.add (local.get $at) (i32.const 3)))
          (local.set $w (i32.add (local.get $w) (i32.const 4)))
          (br $taps)))
      (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22)))
      (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
      (v128.store32_lane 0 (local.get $out) (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
      (local.set $out (i32.add (local.get $out) (i32.const 3)))
      (local.set $first (i32.add (local.get $first) (i32.const 4)))
      (local.set $count (i32.add (local.get $count) (i32.const 4)))
      (local.set $weights (i32.add (local.get $weights) (local.get $stride)))
      (br_if $pixels (local.tee $width (i32.sub (local.get $width) (i32.const 1))))))
  ;; One row along y: `bytes` (a multiple of 16) weighted sums over `count` rows that are `step` bytes apart.
  (func (export "down")
    (param $source i32) (param $step i32) (param $weights i32) (param $count i32)
    (param $out i32) (param $bytes i32)
    (local $at i32) (local $w i32) (local $end i32) (local $weight v128) (local $x v128) (local $half v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $weights) (i32.shl (local.get $count) (i32.const 2))))
    (loop $blocks
      (local.set $a (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (local.set $at (local.get $source))
      (local.set $w (local.get $weights))
      (block $done
        (loop $taps
          (br_if $done (i32.ge_u (local.get $w) (local.get $end)))
          (local.set $weight (v128.load32_splat (local.get $w)))
          (local.set $x (v128.load (local.get $at)))
          (local.set $half (i16x8.extend_low_i8x16_u (local.get $x)))
          (local.set $a (i32x4.add (local.get $a) (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (local.get $half)))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.mul (local.get $weight) (i32x4.extend_high_i16x8_u (local.get $half)))))
          (local.set $half (i16x8.extend_high_i8x16_u (local.get $x)))
          (local.set $c (i32x4.add (local.get $c) (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (local.get $half)))))
          (local.set $d (i32x4.add (local.get $d) (i32x4.mul (local.get $weight) (i32x4.extend_high_i16x8_u (local.get $half)))))
          (local.set $at (i32.add (local.get $at) (local.get $step)))
          (local.set $w (i32.add (local.get $w) (i32.const 4)))
          (br $taps)))
      (v128.store (local.get $out) (i8x16.narrow_i16x8_u
        (i16x8.narrow_i32x4_s (i32x4.shr_s (local.get $a) (i32.const 22)) (i32x4.shr_s (local.get $b) (i32.const 22)))
        (i16x8.narrow_i32x4_s (i32x4.shr_s (local.get $c) (i32.const 22)) (i32x4.shr_s (local.get $d) (i32.const 22)))))
      (local.set $source (i32.add (local.get $source) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $blocks (local.tee $bytes (i32.sub (local.get $bytes) (i32.const 16)))))))
