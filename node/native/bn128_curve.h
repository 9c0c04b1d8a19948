/* Points of alt_bn128 and of its twist over Fp2: reading them from bytes, adding and doubling them. */

#ifndef PHOENIX_BN128_CURVE_H
#define PHOENIX_BN128_CURVE_H

#include "bn128_field.h"

enum { WORD = 32, POINT = 64 };

typedef struct { fp x, y, z; } g1; /* Jacobian: (x / z**2, y / z**3); z = 0 is the neutral element */
typedef struct { fp2 x, y; } g2; /* affine, never the neutral element */
typedef struct { fp2 x, y, z; } g2_projective; /* homogeneous: (x / z, y / z) */
typedef struct { fp2 constant, w, vw; } line; /* constant + w * (w + vw * v) */

static const uint64_t ORDER[LIMBS] = {
    0x43E1F593F0000001, 0x2833E84879B97091, 0xB85045B68181585D, 0x30644E72E131A029};

static fp THREE, HALF;
static fp2 TWIST_B; /* 3 / (9 + i) */

/* --- G1 */

static const g1 G1_ZERO;

/* Explicit-Formulas Database, dbl-2009-l. */
static g1 g1_double(const g1 *p)
{
    fp a = fp_square(&p->x), b = fp_square(&p->y), c = fp_square(&b), t = fp_mul(&p->x, &b);
    fp d = fp_add(&t, &t), e = fp_add(&a, &a), f, x, y, z;
    d = fp_add(&d, &d);
    e = fp_add(&e, &a);
    f = fp_square(&e);
    t = fp_add(&d, &d);
    x = fp_sub(&f, &t);
    t = fp_sub(&d, &x);
    y = fp_mul(&e, &t);
    t = fp_add(&c, &c);
    t = fp_add(&t, &t);
    t = fp_add(&t, &t);
    y = fp_sub(&y, &t);
    z = fp_mul(&p->y, &p->z);
    z = fp_add(&z, &z);
    return (g1){x, y, z};
}

/* Explicit-Formulas Database, add-2007-bl without its tricks. */
static g1 g1_add(const g1 *p, const g1 *q)
{
    if (fp_is_zero(&p->z))
        return *q;
    if (fp_is_zero(&q->z))
        return *p;
    fp pzz = fp_square(&p->z), qzz = fp_square(&q->z), u1 = fp_mul(&p->x, &qzz), u2 = fp_mul(&q->x, &pzz);
    fp t = fp_mul(&p->y, &q->z), s1 = fp_mul(&t, &qzz);
    t = fp_mul(&q->y, &p->z);
    fp s2 = fp_mul(&t, &pzz), h = fp_sub(&u2, &u1), r = fp_sub(&s2, &s1);
    if (fp_is_zero(&h))
        return fp_is_zero(&r) ? g1_double(p) : G1_ZERO;
    fp hh = fp_square(&h), hhh = fp_mul(&h, &hh), v = fp_mul(&u1, &hh), x = fp_square(&r), y, z;
    x = fp_sub(&x, &hhh);
    x = fp_sub(&x, &v);
    x = fp_sub(&x, &v);
    t = fp_sub(&v, &x);
    y = fp_mul(&r, &t);
    t = fp_mul(&s1, &hhh);
    y = fp_sub(&y, &t);
    z = fp_mul(&p->z, &q->z);
    z = fp_mul(&z, &h);
    return (g1){x, y, z};
}

/* From 64 bytes, zeros being the neutral element; 0 when they are no point of the curve. */
static int g1_read(g1 *p, const uint8_t *bytes)
{
    if (!fp_read(&p->x, bytes) || !fp_read(&p->y, bytes + WORD))
        return 0;
    if (fp_is_zero(&p->x) && fp_is_zero(&p->y)) {
        *p = G1_ZERO;
        return 1;
    }
    p->z = ONE;
    fp square = fp_square(&p->x), cube = fp_mul(&square, &p->x), right = fp_add(&cube, &THREE);
    fp left = fp_square(&p->y);
    return fp_equal(&left, &right);
}

static void g1_write(const g1 *p, uint8_t *bytes)
{
    memset(bytes, 0, POINT);
    if (fp_is_zero(&p->z))
        return;
    fp inverse = fp_inverse(&p->z), square = fp_square(&inverse), cube = fp_mul(&square, &inverse);
    fp x = fp_mul(&p->x, &square), y = fp_mul(&p->y, &cube);
    fp_write(&x, bytes);
    fp_write(&y, bytes + WORD);
}

static g1 g1_multiply(const g1 *p, const uint8_t *factor)
{
    g1 multiples[16] = {G1_ZERO, *p}, sum = G1_ZERO;
    for (int n = 2; n < 16; n++)
        multiples[n] = g1_add(&multiples[n - 1], p);
    for (int n = 0; n < 2 * WORD; n++) {
        for (int k = 0; k < 4; k++)
            sum = g1_double(&sum);
        uint8_t digit = n % 2 ? factor[n / 2] & 15 : factor[n / 2] >> 4;
        sum = g1_add(&sum, &multiples[digit]);
    }
    return sum;
}

/* --- G2 */

/* The tangent at t, which is doubled. */
static line g2_double(g2_projective *t)
{
    fp2 xy = fp2_mul(&t->x, &t->y), a = fp2_scaled(&xy, &HALF), b = fp2_square(&t->y), c = fp2_square(&t->z);
    fp2 c3 = fp2_double(&c), e, f, g, h, i, xx = fp2_square(&t->x), ee, s;
    c3 = fp2_add(&c3, &c);
    e = fp2_mul(&TWIST_B, &c3);
    f = fp2_double(&e);
    f = fp2_add(&f, &e);
    g = fp2_add(&b, &f);
    g = fp2_scaled(&g, &HALF);
    h = fp2_add(&t->y, &t->z);
    h = fp2_square(&h);
    s = fp2_add(&b, &c);
    h = fp2_sub(&h, &s);
    i = fp2_sub(&e, &b);
    ee = fp2_square(&e);
    s = fp2_sub(&b, &f);
    t->x = fp2_mul(&a, &s);
    t->y = fp2_square(&g);
    s = fp2_double(&ee);
    s = fp2_add(&s, &ee);
    t->y = fp2_sub(&t->y, &s);
    t->z = fp2_mul(&b, &h);
    s = fp2_double(&xx);
    return (line){fp2_neg(&h), fp2_add(&s, &xx), i};
}

/* The line through t and q, which is added to t. */
static line g2_add(g2_projective *t, const g2 *q)
{
    fp2 s = fp2_mul(&q->y, &t->z), theta = fp2_sub(&t->y, &s), lambda, c, d, e, f, g, h;
    s = fp2_mul(&q->x, &t->z);
    lambda = fp2_sub(&t->x, &s);
    c = fp2_square(&theta);
    d = fp2_square(&lambda);
    e = fp2_mul(&lambda, &d);
    f = fp2_mul(&t->z, &c);
    g = fp2_mul(&t->x, &d);
    h = fp2_add(&e, &f);
    s = fp2_double(&g);
    h = fp2_sub(&h, &s);
    t->x = fp2_mul(&lambda, &h);
    s = fp2_sub(&g, &h);
    g = fp2_mul(&theta, &s);
    s = fp2_mul(&e, &t->y);
    t->y = fp2_sub(&g, &s);
    t->z = fp2_mul(&t->z, &e);
    g = fp2_mul(&theta, &q->x);
    s = fp2_mul(&lambda, &q->y);
    return (line){lambda, fp2_neg(&theta), fp2_sub(&g, &s)};
}

/* Whether q, a point of the twist, times the order of the group is neutral. */
static int g2_in_group(const g2 *q)
{
    g2_projective t = {q->x, q->y, {ONE, ZERO}};
    int bit = 64 * LIMBS - 1;
    while (!(ORDER[bit / 64] >> bit % 64 & 1))
        bit--;
    for (bit--; bit >= 0; bit--) {
        g2_double(&t);
        if (!(ORDER[bit / 64] >> bit % 64 & 1))
            continue;
        /* Adding equal or opposite points needs a tangent, or ends at once: neutral only at the last bit. */
        fp2 x = fp2_mul(&q->x, &t.z), y = fp2_mul(&q->y, &t.z), minus = fp2_neg(&y);
        if (fp2_is_zero(&t.z)) {
            t = (g2_projective){q->x, q->y, {ONE, ZERO}};
        } else if (fp2_equal(&x, &t.x) && fp2_equal(&y, &t.y)) {
            g2_double(&t);
        } else if (fp2_equal(&x, &t.x) && fp2_equal(&minus, &t.y)) {
            t.x = t.z = (fp2){ZERO, ZERO};
            t.y = (fp2){ONE, ZERO};
        } else {
            g2_add(&t, q);
        }
    }
    return fp2_is_zero(&t.z);
}

/* From 128 bytes, imaginary parts first. 1: a point of the group; 2: the neutral element; 0: neither. */
static int g2_read(g2 *q, const uint8_t *bytes)
{
    if (!fp_read(&q->x.b, bytes) || !fp_read(&q->x.a, bytes + WORD) || !fp_read(&q->y.b, bytes + 2 * WORD)
        || !fp_read(&q->y.a, bytes + 3 * WORD))
        return 0;
    if (fp2_is_zero(&q->x) && fp2_is_zero(&q->y))
        return 2;
    fp2 square = fp2_square(&q->x), cube = fp2_mul(&square, &q->x), right = fp2_add(&cube, &TWIST_B);
    fp2 left = fp2_square(&q->y);
    return fp2_equal(&left, &right) && g2_in_group(q);
}

#endif
