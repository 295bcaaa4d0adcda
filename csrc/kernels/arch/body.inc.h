/* Every element-wise kernel of one element type, written over a small vector vocabulary.
 *
 * Included by both.inc.h for float and double, with `real`, BP_REAL_BITS, BP_T, V and BPK set:
 * V(name) is a vector operation, BPK(name) a kernel. A vocabulary file defines
 *
 *   vreal, vmask, V(lanes)       types; lanes is 1 in the portable vocabulary, whose loops the
 *                                compiler vectorises
 *   load store set1              of whole vectors, no alignment
 *   load_n store_n (…, n)        of the first n lanes only, 0 < n <= lanes; the others load as 0
 *   first_n(x, n, other)         lanes < n of x, the rest of other
 *   add sub mul div sqrt         as IEEE has them
 *   fma(a, b, c) fnma(a, b, c)   c + a b and c - a b, fused where the instruction set can
 *   min(a, x) max(a, x)          x where either is NaN
 *   abs neg_abs copysign(x, sign) bit operations
 *   head(x)                      x with the low half of its significand cleared
 *   lt le gt eq, select(m, a, b) comparisons (false on NaN); a where m, else b
 *   ratio(a, b)                  a / b within 1 ULP for 1 <= b <= 2^60, |a| <= b
 *   pow2(t)                      2^n from t = V(magic) + V(bias) + n, -bias < n <= bias
 *   scale(x, n)                  x 2^n, rounded once; where BP_HAS_SCALE
 *   log_split(x, &e)             m in [sqrt(1/2), sqrt(2)) with x = m 2^e; x positive, normal
 *   sum(x) largest(x)            of all lanes, in one fixed order
 *   widen(x, part)               double lanes of part 0 … wide_parts-1 of x, in vf64's registers
 *
 * No libm is called. Lanes never mix except in the row reductions, and a partial vector runs the
 * code of a whole one, so a value does not depend on its position.
 */
#include "math.inc.h"
#include "activations.inc.h"
#include "derivatives.inc.h"
#include "reductions.inc.h"
#include "losses.inc.h"
#include "updates.inc.h"
#include "lanes.inc.h"

static void BPK(init)(BP_T(bp_kernels) *k) {
    BPK(init_activations)(k);
    BPK(init_derivatives)(k);
    BPK(init_rows)(k);
    BPK(init_losses)(k);
    BPK(init_updates)(k);
    BPK(init_lanes)(k);
}
