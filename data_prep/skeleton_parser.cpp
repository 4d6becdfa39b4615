// A `.skeleton` text in its usual shape, parsed: what skeleton_file.py defines, for those texts that need no second look.
//
// Anything else is declined: an error, a line in another shape, a number too long. The Python parser then reads the
// text or says what is wrong with it. Numbers are the same to the last bit: rounded to double, then to float.
#include <cfloat>
#include <charconv>
#include <cstdint>
#include <cstring>

#if defined(_WIN32)
#define SKELETON_API extern "C" __declspec(dllexport)
#else
#define SKELETON_API extern "C" __attribute__((visibility("default")))
#endif

namespace {

constexpr int JOINTS = 25;
constexpr int JOINT_FIELDS = 12;
constexpr int BODY_FIELDS = 10;
constexpr int MOST_BODIES = 16;        // in a frame; the sensor reports 6 at the most
constexpr int LONGEST_LINE = 255;      // bytes; counts of them fit the byte they are counted in
constexpr int LONGEST_INTEGER = 19;    // digits that fit 64 bits
constexpr int64_t FRAME_LIMIT = 100000;
constexpr double COORDINATE_LIMIT = 100.0;

// The powers of ten that a double holds exactly.
constexpr double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                           1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// The lines of a text. Every line handed out ends in a line feed, so that a scan for other bytes stops there.
struct Lines {
    const char* next;
    const char* end;

    // The line's first byte, and in `stop` the end of its content; null if there is none, or a very long one.
    const char* take(const char*& stop) {
        const char* start = next;
        const int64_t left = end - start;
        const void* feed = memchr(start, '\n', left < LONGEST_LINE ? left : LONGEST_LINE);
        if (!feed) return nullptr;
        stop = static_cast<const char*>(feed);
        next = stop + 1;
        if (stop > start && stop[-1] == '\r') --stop;
        return start;
    }
};

// Whether a line holds so many fields with one space between them, and nothing but printable bytes and no underscore.
bool has_fields(const char* start, const char* stop, int fields) {
    if (start == stop || *start == ' ' || stop[-1] == ' ') return false;
    uint8_t spaces = 0, odd = 0;
    const int length = static_cast<int>(stop - start);
    for (int i = 0; i < length; ++i) {  // reads stop[0], which is a line end
        const uint8_t c = static_cast<uint8_t>(start[i]);
        const uint8_t space = c == ' ';
        spaces = static_cast<uint8_t>(spaces + space);
        odd |= static_cast<uint8_t>((c < ' ') | (c == '_') | (space & (start[i + 1] == ' ')));
    }
    return !odd && spaces == fields - 1;
}

// The digits from `at` on as a number; false if there are none or too many.
bool integer(const char*& at, uint64_t& value) {
    const char* start = at;
    value = 0;
    while (is_digit(*at)) {
        if (at - start == LONGEST_INTEGER) return false;
        value = value * 10 + static_cast<uint64_t>(*at++ - '0');
    }
    return at > start;
}

// The only content of the next line, an integer.
bool line_integer(Lines& lines, uint64_t& value) {
    const char* stop;
    const char* at = lines.take(stop);
    return at && integer(at, value) && at == stop;
}

// The coordinate that starts at `at` and ends before a space; the line is known to go on behind it.
bool coordinate(const char*& at, float& value) {
    const char* start = at;
    const bool negative = *at == '-';
    at += negative;
    uint64_t digits = 0;
    int count = 0, exponent = 0;  // digits from the first that is not 0, power of ten of the last one
    const char* first = at;
    for (; is_digit(*at); ++at) {
        digits = digits * 10 + static_cast<uint64_t>(*at - '0');
        count += digits != 0;
    }
    int64_t seen = at - first;
    if (*at == '.') {
        const char* point = ++at;
        for (; is_digit(*at); ++at) {
            digits = digits * 10 + static_cast<uint64_t>(*at - '0');
            count += digits != 0;
        }
        exponent = static_cast<int>(point - at);
        seen += at - point;
    }
    if (!seen) return false;
    if (*at == 'e' || *at == 'E') {
        ++at;
        const bool down = *at == '-';
        at += down || *at == '+';
        uint64_t power;
        if (!integer(at, power) || power > 400) return false;
        exponent += down ? -static_cast<int>(power) : static_cast<int>(power);
    }
    if (*at != ' ') return false;
    double exact;
    if (FLT_EVAL_METHOD == 0 && count <= 15 && exponent >= -22 && exponent <= 22) {
        const double whole = static_cast<double>(digits);  // exact, and so is the power: one rounding
        exact = exponent < 0 ? whole / TENS[-exponent] : whole * TENS[exponent];
        if (negative) exact = -exact;
    } else {
#ifdef __cpp_lib_to_chars
        const auto end = std::from_chars(start, at, exact);
        if (end.ec != std::errc() || end.ptr != at) return false;
#else
        return false;
#endif
    }
    value = static_cast<float>(exact);
    return exact <= COORDINATE_LIMIT && exact >= -COORDINATE_LIMIT;
}

// The 25 joint lines of a body.
bool body(Lines& lines, float* joints, uint8_t* states) {
    for (int joint = 0; joint < JOINTS; ++joint) {
        const char* stop;
        const char* at = lines.take(stop);
        if (!at || !has_fields(at, stop, JOINT_FIELDS)) return false;
        for (int axis = 0; axis < 3; ++axis) {
            if (!coordinate(at, *joints++)) return false;
            ++at;
        }
        if (stop[-2] != ' ' || stop[-1] < '0' || stop[-1] > '2') return false;
        *states++ = static_cast<uint8_t>(stop[-1] - '0');
    }
    return true;
}

}  // namespace

SKELETON_API int64_t skeleton_version() { return 1; }

// The bodies of a text, one block for each frame of each body, in the order of the file.
//
// text, size: the file. capacity: blocks that the arrays have room for. joints (capacity, 25, 3), states
// (capacity, 25), ids and frames (capacity,): filled from the start; frames are 0-based. Returns the number of blocks
// and in `frame_count` that of frames; -1 for a text that the Python parser has to look at.
SKELETON_API int64_t skeleton_parse(const char* text, int64_t size, int64_t capacity, float* joints, uint8_t* states,
                                    uint64_t* ids, int64_t* frames, int64_t* frame_count) {
    Lines lines{text, text + size};
    uint64_t count;
    if (!line_integer(lines, count) || count < 1 || count > FRAME_LIMIT) return -1;
    *frame_count = static_cast<int64_t>(count);
    int64_t blocks = 0;
    for (int64_t frame = 0; frame < *frame_count; ++frame) {
        uint64_t bodies;
        if (!line_integer(lines, bodies) || bodies > MOST_BODIES) return -1;
        const int64_t first = blocks;
        for (uint64_t number = 0; number < bodies; ++number) {
            const char* stop;
            const char* at = lines.take(stop);
            uint64_t id, joint_count;
            if (!at || !has_fields(at, stop, BODY_FIELDS) || !integer(at, id) || *at != ' ') return -1;
            for (int64_t other = first; other < blocks; ++other)
                if (ids[other] == id) return -1;
            if (!line_integer(lines, joint_count) || joint_count != JOINTS || blocks == capacity) return -1;
            if (!body(lines, joints + blocks * JOINTS * 3, states + blocks * JOINTS)) return -1;
            ids[blocks] = id;
            frames[blocks] = frame;
            ++blocks;
        }
    }
    for (const char* at = lines.next; at < lines.end; ++at)
        if (*at != ' ' && (*at < '\t' || *at > '\r')) return -1;
    return blocks;
}
