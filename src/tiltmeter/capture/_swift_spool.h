/* Part of _swift.c: an open segment, the fast case of SpoolWriter.put, and MessagePack. */

/* CRC-32 as zlib has it, eight bytes a step. */
static uint32_t crc_table[8][256];

static void fill_crc_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++)
            rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320u : 0);
        crc_table[0][byte] = rest;
    }
    for (int step = 1; step < 8; step++)
        for (uint32_t byte = 0; byte < 256; byte++)
            crc_table[step][byte] = (crc_table[step - 1][byte] >> 8) ^ crc_table[0][crc_table[step - 1][byte] & 0xFF];
}

static uint32_t load32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void store32(unsigned char *at, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++)
        at[byte] = (unsigned char)(value >> (8 * byte));
}

static uint32_t crc32_of(const unsigned char *data, size_t length, uint32_t start)
{
    uint32_t crc = ~start;
    for (; length >= 8; data += 8, length -= 8) {
        uint32_t low = load32(data) ^ crc, high = load32(data + 4);
        crc = crc_table[7][low & 0xFF] ^ crc_table[6][low >> 8 & 0xFF] ^ crc_table[5][low >> 16 & 0xFF]
            ^ crc_table[4][low >> 24] ^ crc_table[3][high & 0xFF] ^ crc_table[2][high >> 8 & 0xFF]
            ^ crc_table[1][high >> 16 & 0xFF] ^ crc_table[0][high >> 24];
    }
    for (; length > 0; data++, length--)
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *data) & 0xFF];
    return ~crc;
}

/* ---- BegunSegment ---- */

typedef struct {
    PyObject_HEAD
    long long number, fd, size, seed, count, synced, position;
    double begun;
    PyObject *unsynced;
    char given_up;
} Segment;

static int segment_init(Segment *self, PyObject *args, PyObject *named)
{
    static char *names[] = {"number", "fd", "size", "seed", "count", "begun", "synced", "unsynced", "position",
                            "given_up", NULL};
    PyObject *unsynced = NULL;
    int given_up = 0;
    self->count = self->synced = self->position = 0;
    self->begun = 0.0;
    if (!PyArg_ParseTupleAndKeywords(args, named, "LLLL|LdLO!Lp", names, &self->number, &self->fd, &self->size,
                                     &self->seed, &self->count, &self->begun, &self->synced, &PyList_Type, &unsynced,
                                     &self->position, &given_up))
        return -1;
    self->given_up = (char)given_up;
    if (unsynced)
        Py_INCREF(unsynced);
    else if (!(unsynced = PyList_New(0)))
        return -1;
    Py_XSETREF(self->unsynced, unsynced);
    return 0;
}

static int segment_traverse(Segment *self, visitproc visit, void *arg)
{
    Py_VISIT(self->unsynced);
    return 0;
}

static int segment_clear(Segment *self)
{
    Py_CLEAR(self->unsynced);
    return 0;
}

static void segment_dealloc(Segment *self)
{
    PyObject_GC_UnTrack(self);
    segment_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

#define NUMBER(type, name, field) {name, T_LONGLONG, offsetof(type, field), 0, NULL}
#define OBJECT(type, name, field) {name, T_OBJECT_EX, offsetof(type, field), 0, NULL}
#define TRUTH(type, name, field) {name, T_BOOL, offsetof(type, field), 0, NULL}

static PyMemberDef segment_members[] = {
    NUMBER(Segment, "number", number), NUMBER(Segment, "fd", fd), NUMBER(Segment, "size", size),
    NUMBER(Segment, "seed", seed), NUMBER(Segment, "count", count), NUMBER(Segment, "synced", synced),
    NUMBER(Segment, "position", position), {"begun", T_DOUBLE, offsetof(Segment, begun), 0, NULL},
    OBJECT(Segment, "unsynced", unsynced), TRUTH(Segment, "given_up", given_up), {NULL}};

static PyTypeObject SegmentType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiltmeter.capture._swift.BegunSegment",
    .tp_doc = "A segment that this process began; see tiltmeter.capture.swift.BegunSegment.",
    .tp_basicsize = sizeof(Segment),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)segment_init,
    .tp_traverse = (traverseproc)segment_traverse,
    .tp_clear = (inquiry)segment_clear,
    .tp_dealloc = (destructor)segment_dealloc,
    .tp_members = segment_members,
};

/* ---- Pen: the fast case of SpoolWriter.put ---- */

typedef struct {
    PyObject_HEAD
    PyObject *lock, *open, *write, *mark, *wake;
    long long room, position, seal_bytes;
} Pen;

/* With the lock held. The record's position; 0 when this is not the plain case and nothing happened; -1 on an error. */
static long long append_locked(Pen *pen, PyObject *frame)
{
    Segment *segment = (Segment *)pen->open;
    Py_ssize_t total = PyBytes_GET_SIZE(frame), length = total - HEAD;
    if (!segment || !Py_IS_TYPE((PyObject *)segment, &SegmentType) || segment->count == 0 || !segment->unsynced
        || length + FRAME_ROOM > pen->room || length > MAX_PAYLOAD || !pen->write || !pen->mark
        || !PyBytes_CheckExact(pen->mark) || PyBytes_GET_SIZE(pen->mark) != MARK)
        return 0;
    unsigned char *head = (unsigned char *)PyBytes_AS_STRING(frame);
    memcpy(head, PyBytes_AS_STRING(pen->mark), MARK);
    store32(head + 12, (uint32_t)length);
    store32(head + 16, (uint32_t)segment->count);
    store32(head + 8, crc32_of(head + 12, (size_t)total - 12, (uint32_t)segment->seed));

    Py_INCREF(segment);
    PyObject *fd = PyLong_FromLongLong(segment->fd);
    if (!fd) {
        Py_DECREF(segment);
        return -1;
    }
    PyObject *arguments[] = {fd, frame};
    PyObject *answer = PyObject_Vectorcall(pen->write, arguments, 2, NULL);
    Py_DECREF(fd);
    long long written = -1, position = -1;
    if (answer) {
        written = PyLong_AsLongLong(answer);
        Py_DECREF(answer);
    }
    if (written != total) {  /* refused or cut short: Python cuts it off again, and raises */
        PyObject *type = NULL, *error = NULL, *trace = NULL, *refused;
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OSError)) {
            Py_DECREF(segment);
            return -1;
        }
        PyErr_Fetch(&type, &error, &trace);
        if (type)
            PyErr_NormalizeException(&type, &error, &trace);
        refused = PyObject_CallMethodObjArgs((PyObject *)pen, s_torn, (PyObject *)segment, error ? error : Py_None, NULL);
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(trace);
        if (refused) {
            Py_DECREF(refused);
            PyErr_SetString(PyExc_SystemError, "a refused record was not refused");
        }
    }
    else {
        segment->size += written;
        segment->count += 1;
        pen->room -= written;
        position = ++pen->position;
        if (PyList_Append(segment->unsynced, frame) < 0)
            position = -1;
        else if (segment->size >= pen->seal_bytes) {
            PyObject *woken = PyObject_CallMethodNoArgs(pen->wake, s_set);
            if (!woken)
                position = -1;
            Py_XDECREF(woken);
        }
    }
    Py_DECREF(segment);
    return position;
}

static long long append(Pen *pen, PyObject *frame)
{
    if (!pen->lock)
        return 0;
    PyObject *lock = pen->lock;
    Py_INCREF(lock);
    PyObject *held = PyObject_CallMethodNoArgs(lock, s_acquire);
    if (!held) {
        Py_DECREF(lock);
        return -1;
    }
    Py_DECREF(held);
    long long position = append_locked(pen, frame);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyObject *given = PyObject_CallMethodNoArgs(lock, s_release);
    if (given) {
        Py_DECREF(given);
        PyErr_Restore(type, error, trace);
    }
    else {
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(trace);
        position = -1;
    }
    Py_DECREF(lock);
    return position;
}

static PyObject *pen_put(Pen *self, PyObject *payload)
{
    if (PyBytes_CheckExact(payload) && PyBytes_GET_SIZE(payload) <= MAX_PAYLOAD) {
        Py_ssize_t length = PyBytes_GET_SIZE(payload);
        PyObject *frame = PyBytes_FromStringAndSize(NULL, HEAD + length);
        if (!frame)
            return NULL;
        memcpy(PyBytes_AS_STRING(frame) + HEAD, PyBytes_AS_STRING(payload), (size_t)length);
        long long position = append(self, frame);
        Py_DECREF(frame);
        if (position)
            return position < 0 ? NULL : PyLong_FromLongLong(position);
    }
    return PyObject_CallMethodOneArg((PyObject *)self, s_put, payload);
}

static int pen_traverse(Pen *self, visitproc visit, void *arg)
{
    Py_VISIT(self->lock);
    Py_VISIT(self->open);
    Py_VISIT(self->write);
    Py_VISIT(self->mark);
    Py_VISIT(self->wake);
    return 0;
}

static int pen_clear(Pen *self)
{
    Py_CLEAR(self->lock);
    Py_CLEAR(self->open);
    Py_CLEAR(self->write);
    Py_CLEAR(self->mark);
    Py_CLEAR(self->wake);
    return 0;
}

static void pen_dealloc(Pen *self)
{
    PyObject_GC_UnTrack(self);
    pen_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef pen_members[] = {
    OBJECT(Pen, "_lock", lock), OBJECT(Pen, "_open", open), OBJECT(Pen, "_write", write), OBJECT(Pen, "_mark", mark),
    OBJECT(Pen, "_wake", wake), NUMBER(Pen, "_room", room), NUMBER(Pen, "_position", position),
    NUMBER(Pen, "_seal_bytes", seal_bytes), {NULL}};

static PyMethodDef pen_methods[] = {
    {"put", (PyCFunction)pen_put, METH_O, "Append one record; see SpoolWriter."}, {NULL}};

static PyTypeObject PenType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiltmeter.capture._swift.Pen",
    .tp_doc = "The fast case of SpoolWriter.put.",
    .tp_basicsize = sizeof(Pen),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = (traverseproc)pen_traverse,
    .tp_clear = (inquiry)pen_clear,
    .tp_dealloc = (destructor)pen_dealloc,
    .tp_members = pen_members,
    .tp_methods = pen_methods,
};

/* ---- MessagePack, as msgspec writes it: the shortest form of each value ---- */

static unsigned char *put_big(unsigned char *at, uint64_t value, int bytes)
{
    while (bytes--)
        *at++ = (unsigned char)(value >> (8 * bytes));
    return at;
}

static unsigned char *put_count(unsigned char *at, uint64_t value)
{
    if (value < 128)
        return put_big(at, value, 1);
    int bytes = value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFFFFFFu ? 4 : 8;
    *at++ = bytes == 1 ? 0xCC : bytes == 2 ? 0xCD : bytes == 4 ? 0xCE : 0xCF;
    return put_big(at, value, bytes);
}

static unsigned char *put_sized(unsigned char *at, uint64_t size, unsigned char first)
{
    int bytes = size <= 0xFF ? 1 : size <= 0xFFFF ? 2 : 4;
    *at++ = (unsigned char)(first + (bytes == 1 ? 0 : bytes == 2 ? 1 : 2));
    return put_big(at, size, bytes);
}

static unsigned char *put_text(unsigned char *at, const char *text, Py_ssize_t size)
{
    if (size < 32)
        *at++ = (unsigned char)(0xA0 | size);
    else
        at = put_sized(at, (uint64_t)size, 0xD9);
    memcpy(at, text, (size_t)size);
    return at + size;
}

static unsigned char *put_float(unsigned char *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    *at++ = 0xCB;
    return put_big(at, bits, 8);
}
