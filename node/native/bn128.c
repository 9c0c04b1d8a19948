/* alt_bn128: addition, multiplication and pairing of points (EIP-196, EIP-197).
 *
 * The optimal ate pairing on y*y = x*x*x + 3 and its twist over Fp2 (Vercauteren, "Optimal pairings"; lines in
 * homogeneous coordinates after Costello, Lange and Naehrig, "Faster pairing computations on curves with
 * high-degree twists"). Only whether a product of pairings is one is ever asked. */

#include "kernels.h"

#ifdef __SIZEOF_INT128__

#include "bn128_curve.h"

enum { PAIR = 192, U_BITS = 63, LOOP_BITS = 65 };

static const uint64_t SIXTH_OF_P_MINUS_1[LIMBS] = {
    0x34B017592414D4E1, 0xEE9591C2E6BDA1C2, 0xF40D60F3C0403964, 0x0810B7BDD032F006};
/* 6 u + 2; its 65th bit is one too. */
static const uint64_t LOOP = 0x9D797039BE763BA8;
static const uint64_t U = 4965661367192848881;

static fp2 ROOTS[6]; /* (9 + i)**(k * (p - 1) / 6) */
static fp SIXTHS[6]; /* (9 + i)**(k * (p * p - 1) / 6), which lies in Fp */

void bn128_prepare(void)
{
    fp two = fp_add(&ONE, &ONE);
    HALF = fp_inverse(&two);
    THREE = fp_add(&two, &ONE);
    const fp2 one = {ONE, ZERO};
    fp2 nine_and_i = fp2_raised(&one), inverse = fp2_inverse(&nine_and_i), root = one;
    TWIST_B = fp2_scaled(&inverse, &THREE);
    for (int bit = 64 * LIMBS - 1; bit >= 0; bit--) {
        root = fp2_square(&root);
        if (SIXTH_OF_P_MINUS_1[bit / 64] >> bit % 64 & 1)
            root = fp2_mul(&root, &nine_and_i);
    }
    fp2 conjugate = fp2_conjugate(&root), norm = fp2_mul(&root, &conjugate);
    SIXTHS[0] = ONE;
    ROOTS[0] = one;
    for (int k = 1; k < 6; k++) {
        SIXTHS[k] = fp_mul(&SIXTHS[k - 1], &norm.a);
        ROOTS[k] = fp2_mul(&ROOTS[k - 1], &root);
    }
}

/* --- pairing */

/* x * (a + b v) */
static fp6 fp6_mul_short(const fp6 *x, const fp2 *a, const fp2 *b)
{
    fp2 aa = fp2_mul(&x->a, a), bb = fp2_mul(&x->b, b), ca = fp2_mul(&x->c, a), cb = fp2_mul(&x->c, b);
    fp2 ab = fp2_cross(&x->a, &x->b, a, b, &aa, &bb), raised = fp2_raised(&cb);
    return (fp6){fp2_add(&aa, &raised), ab, fp2_add(&bb, &ca)};
}

/* f times the value of a line at p. */
static void take_line(fp12 *f, line l, const g1 *p)
{
    l.constant = fp2_scaled(&l.constant, &p->y);
    l.w = fp2_scaled(&l.w, &p->x);
    fp6 aa = {fp2_mul(&f->a.a, &l.constant), fp2_mul(&f->a.b, &l.constant), fp2_mul(&f->a.c, &l.constant)};
    fp6 bb = fp6_mul_short(&f->b, &l.w, &l.vw), left = fp6_add(&f->a, &f->b), raised = fp6_raised(&bb);
    fp2 right = fp2_add(&l.constant, &l.w);
    fp6 mixed = fp6_mul_short(&left, &right, &l.vw);
    mixed = fp6_sub(&mixed, &aa);
    *f = (fp12){fp6_add(&aa, &raised), fp6_sub(&mixed, &bb)};
}

static fp12 miller_loop(const g1 *p, const g2 *q)
{
    fp12 f = fp12_one();
    g2_projective t = {q->x, q->y, {ONE, ZERO}};
    for (int bit = LOOP_BITS - 2; bit >= 0; bit--) {
        f = fp12_square(&f);
        take_line(&f, g2_double(&t), p);
        if (LOOP >> bit & 1)
            take_line(&f, g2_add(&t, q), p);
    }
    fp2 x = fp2_conjugate(&q->x), y = fp2_conjugate(&q->y);
    g2 once = {fp2_mul(&x, &ROOTS[2]), fp2_mul(&y, &ROOTS[3])};
    /* The second Frobenius negates y, and its negative is what is added. */
    g2 twice = {fp2_scaled(&q->x, &SIXTHS[2]), q->y};
    take_line(&f, g2_add(&t, &once), p);
    take_line(&f, g2_add(&t, &twice), p);
    return f;
}

/* x to the power of p. */
static fp12 frobenius(const fp12 *x)
{
    fp2 parts[6] = {x->a.a, x->b.a, x->a.b, x->b.b, x->a.c, x->b.c}; /* of 1, w, w**2, ... */
    for (int k = 0; k < 6; k++) {
        fp2 conjugate = fp2_conjugate(&parts[k]);
        parts[k] = fp2_mul(&conjugate, &ROOTS[k]);
    }
    return (fp12){{parts[0], parts[2], parts[4]}, {parts[1], parts[3], parts[5]}};
}

static fp12 frobenius_twice(const fp12 *x)
{
    return (fp12){
        {x->a.a, fp2_scaled(&x->a.b, &SIXTHS[2]), fp2_scaled(&x->a.c, &SIXTHS[4])},
        {fp2_scaled(&x->b.a, &SIXTHS[1]), fp2_scaled(&x->b.b, &SIXTHS[3]), fp2_scaled(&x->b.c, &SIXTHS[5])}};
}

/* x to the power of -u, where the conjugate is the inverse. */
static fp12 minus_u(const fp12 *x)
{
    fp12 power = *x;
    for (int bit = U_BITS - 2; bit >= 0; bit--) {
        power = fp12_square(&power);
        if (U >> bit & 1)
            power = fp12_mul(&power, x);
    }
    return fp12_conjugate(&power);
}

/* The easy part (p**6 - 1)(p**2 + 1), then a multiple of the hard part that is prime to the group's order
 * (Fuentes-Castaneda, Knapp and Rodriguez-Henriquez, "Faster hashing to G2"). */
static int is_one_in_the_end(const fp12 *f)
{
    fp12 conjugate = fp12_conjugate(f), inverse = fp12_inverse(f), easy = fp12_mul(&conjugate, &inverse);
    fp12 t = frobenius_twice(&easy);
    easy = fp12_mul(&t, &easy);
    t = minus_u(&easy);
    fp12 u2 = fp12_square(&t), u4 = fp12_square(&u2), u6 = fp12_mul(&u4, &u2), uu6 = minus_u(&u6);
    t = fp12_square(&uu6);
    fp12 uuu12 = minus_u(&t);
    u6 = fp12_conjugate(&u6);
    uuu12 = fp12_conjugate(&uuu12);
    fp12 a = fp12_mul(&uuu12, &uu6);
    a = fp12_mul(&a, &u6);
    fp12 b = fp12_mul(&a, &u2), first = fp12_mul(&a, &uu6);
    first = fp12_mul(&first, &easy);
    fp12 second = frobenius(&b), third = frobenius_twice(&a);
    t = fp12_conjugate(&easy);
    t = fp12_mul(&t, &b);
    t = frobenius(&t);
    fp12 fourth = frobenius_twice(&t);
    t = fp12_mul(&first, &second);
    t = fp12_mul(&t, &third);
    t = fp12_mul(&t, &fourth);
    return fp12_is_one(&t);
}

/* --- Python */

static PyObject *py_bn128_add(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input;
    if (!PyArg_ParseTuple(args, "y*", &input))
        return NULL;
    PyObject *result = NULL;
    g1 p, q;
    uint8_t output[POINT];
    if (input.len != 2 * POINT) {
        PyErr_SetString(PyExc_ValueError, "two points have 128 bytes");
    } else if (!g1_read(&p, input.buf) || !g1_read(&q, (const uint8_t *)input.buf + POINT)) {
        Py_INCREF(Py_None);
        result = Py_None;
    } else {
        p = g1_add(&p, &q);
        g1_write(&p, output);
        result = PyBytes_FromStringAndSize((const char *)output, POINT);
    }
    PyBuffer_Release(&input);
    return result;
}

static PyObject *py_bn128_multiply(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input;
    if (!PyArg_ParseTuple(args, "y*", &input))
        return NULL;
    PyObject *result = NULL;
    g1 p;
    uint8_t output[POINT];
    if (input.len != POINT + WORD) {
        PyErr_SetString(PyExc_ValueError, "a point and a factor have 96 bytes");
    } else if (!g1_read(&p, input.buf)) {
        Py_INCREF(Py_None);
        result = Py_None;
    } else {
        p = g1_multiply(&p, (const uint8_t *)input.buf + POINT);
        g1_write(&p, output);
        result = PyBytes_FromStringAndSize((const char *)output, POINT);
    }
    PyBuffer_Release(&input);
    return result;
}

static PyObject *py_bn128_pair(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input, before;
    if (!PyArg_ParseTuple(args, "y*y*", &input, &before))
        return NULL;
    PyObject *result = NULL;
    if (input.len != PAIR || (before.len != 0 && before.len != (Py_ssize_t)sizeof(fp12))) {
        PyErr_SetString(PyExc_ValueError, "a pair has 192 bytes, and a product so far none or 384");
    } else {
        g1 p;
        g2 q;
        int valid, kind = 0;
        fp12 product = fp12_one();
        if (before.len)
            memcpy(&product, before.buf, sizeof product);
        const uint8_t *bytes = input.buf;
        Py_BEGIN_ALLOW_THREADS;
        valid = g1_read(&p, bytes) && (kind = g2_read(&q, bytes + POINT)) != 0;
        if (valid && kind == 1 && !fp_is_zero(&p.z)) {
            fp12 f = miller_loop(&p, &q);
            product = fp12_mul(&product, &f);
        }
        Py_END_ALLOW_THREADS;
        if (valid) {
            result = PyBytes_FromStringAndSize((const char *)&product, sizeof product);
        } else {
            Py_INCREF(Py_None);
            result = Py_None;
        }
    }
    PyBuffer_Release(&input);
    PyBuffer_Release(&before);
    return result;
}

static PyObject *py_bn128_is_one(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input;
    if (!PyArg_ParseTuple(args, "y*", &input))
        return NULL;
    PyObject *result = NULL;
    if (input.len != (Py_ssize_t)sizeof(fp12)) {
        PyErr_SetString(PyExc_ValueError, "a product of pairings has 384 bytes");
    } else {
        fp12 product;
        int one;
        memcpy(&product, input.buf, sizeof product);
        Py_BEGIN_ALLOW_THREADS;
        one = is_one_in_the_end(&product);
        Py_END_ALLOW_THREADS;
        result = PyBool_FromLong(one);
    }
    PyBuffer_Release(&input);
    return result;
}

PyMethodDef bn128_methods[] = {
    {"bn128_add", py_bn128_add, METH_VARARGS, "Sum of two points; None when one is none."},
    {"bn128_multiply", py_bn128_multiply, METH_VARARGS, "Multiple of a point; None when it is none."},
    {"bn128_pair", py_bn128_pair, METH_VARARGS, "A product of pairings times one more; None for no points."},
    {"bn128_is_one", py_bn128_is_one, METH_VARARGS, "Whether a product of pairings is one."},
    {NULL, NULL, 0, NULL},
};

#else /* no 128-bit integers: the pure form does it */

void bn128_prepare(void)
{
}

PyMethodDef bn128_methods[] = {{NULL, NULL, 0, NULL}};

#endif
