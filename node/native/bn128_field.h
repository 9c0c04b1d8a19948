/* Fields of alt_bn128 (EIP-196, EIP-197): Fp, and the tower Fp2 = Fp(i), Fp6 = Fp2(v), Fp12 = Fp6(w) with
 * i*i = -1, v*v*v = 9 + i and w*w = v. Elements of Fp are four words, lowest first, times 2**256 (Montgomery),
 * always below p. */

#ifndef PHOENIX_BN128_FIELD_H
#define PHOENIX_BN128_FIELD_H

#include <stdint.h>
#include <string.h>

enum { LIMBS = 4 };
__extension__ typedef unsigned __int128 wide;
typedef struct { uint64_t w[LIMBS]; } fp;
typedef struct { fp a, b; } fp2; /* a + b i */
typedef struct { fp2 a, b, c; } fp6; /* a + b v + c v v */
typedef struct { fp6 a, b; } fp12; /* a + b w */

static const fp FP_P = {{0x3C208C16D87CFD47, 0x97816A916871CA8D, 0xB85045B68181585D, 0x30644E72E131A029}};
static const uint64_t FP_INVERSE = 0x87D20782E4866389; /* -1/p modulo 2**64 */
static const fp ZERO = {{0, 0, 0, 0}};
static const fp ONE = {{0xD35D438DC58F0D9D, 0x0A78EB28F5C70B3D, 0x666EA36F7879462C, 0x0E0A77C19A07DF2F}};
static const fp FP_SQUARE_OF_R = {
    {0xF32CFC5B538AFA89, 0xB5E71911D44501FB, 0x47AB1EFF0A417FF6, 0x06D89F71CAB8351F}};
static const uint64_t P_MINUS_2[LIMBS] = {
    0x3C208C16D87CFD45, 0x97816A916871CA8D, 0xB85045B68181585D, 0x30644E72E131A029};

/* --- Fp */

static inline int fp_below(const fp *x, const fp *y)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (x->w[i] != y->w[i])
            return x->w[i] < y->w[i];
    return 0;
}

static inline int fp_equal(const fp *x, const fp *y)
{
    return memcmp(x, y, sizeof *x) == 0;
}

static inline int fp_is_zero(const fp *x)
{
    return (x->w[0] | x->w[1] | x->w[2] | x->w[3]) == 0;
}

/* x - p where that is not negative: sums of two elements stay below 2p, which fits into 256 bits. */
static inline fp fp_reduced(const fp *x)
{
    fp less;
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        wide d = (wide)x->w[i] - FP_P.w[i] - borrow;
        less.w[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    uint64_t keep = 0 - borrow;
    for (int i = 0; i < LIMBS; i++)
        less.w[i] = (x->w[i] & keep) | (less.w[i] & ~keep);
    return less;
}

static inline fp fp_add(const fp *x, const fp *y)
{
    fp sum;
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        wide s = (wide)x->w[i] + y->w[i] + carry;
        sum.w[i] = (uint64_t)s;
        carry = (uint64_t)(s >> 64);
    }
    return fp_reduced(&sum);
}

static inline fp fp_sub(const fp *x, const fp *y)
{
    fp difference;
    uint64_t borrow = 0, carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        wide d = (wide)x->w[i] - y->w[i] - borrow;
        difference.w[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    uint64_t add = 0 - borrow;
    for (int i = 0; i < LIMBS; i++) {
        wide s = (wide)difference.w[i] + (FP_P.w[i] & add) + carry;
        difference.w[i] = (uint64_t)s;
        carry = (uint64_t)(s >> 64);
    }
    return difference;
}

static inline fp fp_neg(const fp *x)
{
    return fp_sub(&ZERO, x);
}

/* Montgomery's product, one word at a time (CIOS). The top word of p leaves a bit free, so no carry is lost. */
static inline fp fp_mul(const fp *x, const fp *y)
{
    uint64_t t[LIMBS + 1] = {0};
    for (int i = 0; i < LIMBS; i++) {
        wide s = (wide)x->w[0] * y->w[i] + t[0];
        uint64_t low = (uint64_t)s, carry = (uint64_t)(s >> 64), factor = low * FP_INVERSE;
        uint64_t second = (uint64_t)(((wide)factor * FP_P.w[0] + low) >> 64);
        for (int j = 1; j < LIMBS; j++) {
            s = (wide)x->w[j] * y->w[i] + t[j] + carry;
            carry = (uint64_t)(s >> 64);
            s = (wide)factor * FP_P.w[j] + (uint64_t)s + second;
            second = (uint64_t)(s >> 64);
            t[j - 1] = (uint64_t)s;
        }
        t[LIMBS - 1] = carry + second;
    }
    fp product = {{t[0], t[1], t[2], t[3]}};
    return fp_reduced(&product);
}

static inline fp fp_square(const fp *x)
{
    return fp_mul(x, x);
}

static fp fp_inverse(const fp *x)
{
    fp power = ONE;
    for (int bit = 64 * LIMBS - 1; bit >= 0; bit--) {
        power = fp_square(&power);
        if (P_MINUS_2[bit / 64] >> bit % 64 & 1)
            power = fp_mul(&power, x);
    }
    return power;
}

/* From 32 bytes, highest first; 0 when they are p or more. */
static int fp_read(fp *x, const uint8_t *bytes)
{
    for (int i = 0; i < LIMBS; i++) {
        x->w[i] = 0;
        for (int k = 0; k < 8; k++)
            x->w[i] = x->w[i] << 8 | bytes[8 * (LIMBS - 1 - i) + k];
    }
    if (!fp_below(x, &FP_P))
        return 0;
    *x = fp_mul(x, &FP_SQUARE_OF_R);
    return 1;
}

static void fp_write(const fp *x, uint8_t *bytes)
{
    const fp one = {{1, 0, 0, 0}};
    fp plain = fp_mul(x, &one);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(plain.w[LIMBS - 1 - i / 8] >> (56 - 8 * (i % 8)));
}

/* --- Fp2 */

static inline fp2 fp2_add(const fp2 *x, const fp2 *y)
{
    return (fp2){fp_add(&x->a, &y->a), fp_add(&x->b, &y->b)};
}

static inline fp2 fp2_sub(const fp2 *x, const fp2 *y)
{
    return (fp2){fp_sub(&x->a, &y->a), fp_sub(&x->b, &y->b)};
}

static inline fp2 fp2_neg(const fp2 *x)
{
    return (fp2){fp_neg(&x->a), fp_neg(&x->b)};
}

static inline fp2 fp2_double(const fp2 *x)
{
    return fp2_add(x, x);
}

static inline fp2 fp2_conjugate(const fp2 *x)
{
    return (fp2){x->a, fp_neg(&x->b)};
}

static inline fp2 fp2_mul(const fp2 *x, const fp2 *y)
{
    fp real = fp_mul(&x->a, &y->a), other = fp_mul(&x->b, &y->b);
    fp left = fp_add(&x->a, &x->b), right = fp_add(&y->a, &y->b);
    fp mixed = fp_mul(&left, &right);
    mixed = fp_sub(&mixed, &real);
    return (fp2){fp_sub(&real, &other), fp_sub(&mixed, &other)};
}

static inline fp2 fp2_square(const fp2 *x)
{
    fp sum = fp_add(&x->a, &x->b), difference = fp_sub(&x->a, &x->b), product = fp_mul(&x->a, &x->b);
    return (fp2){fp_mul(&sum, &difference), fp_add(&product, &product)};
}

static inline fp2 fp2_scaled(const fp2 *x, const fp *by)
{
    return (fp2){fp_mul(&x->a, by), fp_mul(&x->b, by)};
}

/* Times 9 + i. */
static inline fp2 fp2_raised(const fp2 *x)
{
    fp2 two = fp2_double(x), four = fp2_double(&two), eight = fp2_double(&four), nine = fp2_add(&eight, x);
    return (fp2){fp_sub(&nine.a, &x->b), fp_add(&nine.b, &x->a)};
}

static fp2 fp2_inverse(const fp2 *x)
{
    fp square = fp_square(&x->a), other = fp_square(&x->b), norm = fp_add(&square, &other);
    fp inverse = fp_inverse(&norm);
    fp2 conjugate = fp2_conjugate(x);
    return fp2_scaled(&conjugate, &inverse);
}

static inline int fp2_is_zero(const fp2 *x)
{
    return fp_is_zero(&x->a) && fp_is_zero(&x->b);
}

static inline int fp2_equal(const fp2 *x, const fp2 *y)
{
    return fp_equal(&x->a, &y->a) && fp_equal(&x->b, &y->b);
}

/* --- Fp6 */

static inline fp6 fp6_add(const fp6 *x, const fp6 *y)
{
    return (fp6){fp2_add(&x->a, &y->a), fp2_add(&x->b, &y->b), fp2_add(&x->c, &y->c)};
}

static inline fp6 fp6_sub(const fp6 *x, const fp6 *y)
{
    return (fp6){fp2_sub(&x->a, &y->a), fp2_sub(&x->b, &y->b), fp2_sub(&x->c, &y->c)};
}

static inline fp6 fp6_neg(const fp6 *x)
{
    return (fp6){fp2_neg(&x->a), fp2_neg(&x->b), fp2_neg(&x->c)};
}

/* Times v. */
static inline fp6 fp6_raised(const fp6 *x)
{
    return (fp6){fp2_raised(&x->c), x->a, x->b};
}

static inline fp2 fp2_cross(const fp2 *x1, const fp2 *x2, const fp2 *y1, const fp2 *y2, const fp2 *less1,
                            const fp2 *less2)
{
    fp2 left = fp2_add(x1, x2), right = fp2_add(y1, y2), product = fp2_mul(&left, &right);
    product = fp2_sub(&product, less1);
    return fp2_sub(&product, less2);
}

static fp6 fp6_mul(const fp6 *x, const fp6 *y)
{
    fp2 aa = fp2_mul(&x->a, &y->a), bb = fp2_mul(&x->b, &y->b), cc = fp2_mul(&x->c, &y->c);
    fp2 bc = fp2_cross(&x->b, &x->c, &y->b, &y->c, &bb, &cc);
    fp2 ab = fp2_cross(&x->a, &x->b, &y->a, &y->b, &aa, &bb);
    fp2 ac = fp2_cross(&x->a, &x->c, &y->a, &y->c, &aa, &cc);
    fp2 raised_bc = fp2_raised(&bc), raised_cc = fp2_raised(&cc);
    return (fp6){fp2_add(&aa, &raised_bc), fp2_add(&ab, &raised_cc), fp2_add(&ac, &bb)};
}

static fp6 fp6_inverse(const fp6 *x)
{
    fp2 aa = fp2_square(&x->a), bb = fp2_square(&x->b), cc = fp2_square(&x->c);
    fp2 ab = fp2_mul(&x->a, &x->b), ac = fp2_mul(&x->a, &x->c), bc = fp2_mul(&x->b, &x->c);
    fp2 raised_bc = fp2_raised(&bc), raised_cc = fp2_raised(&cc);
    fp6 adjoint = {fp2_sub(&aa, &raised_bc), fp2_sub(&raised_cc, &ab), fp2_sub(&bb, &ac)};
    fp2 c_b = fp2_mul(&x->c, &adjoint.b), b_c = fp2_mul(&x->b, &adjoint.c), sum = fp2_add(&c_b, &b_c);
    fp2 raised = fp2_raised(&sum), first = fp2_mul(&x->a, &adjoint.a), norm = fp2_add(&first, &raised);
    fp2 inverse = fp2_inverse(&norm);
    return (fp6){fp2_mul(&adjoint.a, &inverse), fp2_mul(&adjoint.b, &inverse), fp2_mul(&adjoint.c, &inverse)};
}

/* --- Fp12 */

static fp12 fp12_one(void)
{
    fp12 one;
    memset(&one, 0, sizeof one);
    one.a.a.a = ONE;
    return one;
}

static fp12 fp12_mul(const fp12 *x, const fp12 *y)
{
    fp6 aa = fp6_mul(&x->a, &y->a), bb = fp6_mul(&x->b, &y->b);
    fp6 left = fp6_add(&x->a, &x->b), right = fp6_add(&y->a, &y->b), mixed = fp6_mul(&left, &right);
    mixed = fp6_sub(&mixed, &aa);
    fp6 raised = fp6_raised(&bb);
    return (fp12){fp6_add(&aa, &raised), fp6_sub(&mixed, &bb)};
}

static fp12 fp12_square(const fp12 *x)
{
    fp6 ab = fp6_mul(&x->a, &x->b), raised_b = fp6_raised(&x->b), raised_ab = fp6_raised(&ab);
    fp6 left = fp6_add(&x->a, &x->b), right = fp6_add(&x->a, &raised_b), product = fp6_mul(&left, &right);
    product = fp6_sub(&product, &ab);
    return (fp12){fp6_sub(&product, &raised_ab), fp6_add(&ab, &ab)};
}

static fp12 fp12_conjugate(const fp12 *x)
{
    return (fp12){x->a, fp6_neg(&x->b)};
}

static fp12 fp12_inverse(const fp12 *x)
{
    fp6 aa = fp6_mul(&x->a, &x->a), bb = fp6_mul(&x->b, &x->b), raised = fp6_raised(&bb);
    fp6 norm = fp6_sub(&aa, &raised), inverse = fp6_inverse(&norm), minus = fp6_neg(&inverse);
    return (fp12){fp6_mul(&x->a, &inverse), fp6_mul(&x->b, &minus)};
}

static int fp12_is_one(const fp12 *x)
{
    const fp12 one = fp12_one();
    return memcmp(x, &one, sizeof one) == 0;
}

#endif
