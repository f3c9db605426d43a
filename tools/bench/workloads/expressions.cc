/*
 * expressions DIFFERENT TIMES: a C++ program that works deep in its stack. Texts of nested expressions, 4 to 400 levels
 * deep, are parsed by recursive descent into trees, evaluated, printed and dropped; a level takes about five frames, so
 * that blocks are made and freed 20 to 2,000 frames deep. One text in 16 has a fault: the parser throws from where it
 * is, and half a tree is dropped. There are DIFFERENT texts, each used about TIMES times, in random order.
 * Prints a checksum.
 */
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/* xorshift64*, the same on every machine */
class Random {
  public:
    explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u | 1) {
    }

    unsigned below(unsigned bound) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return static_cast<unsigned>((state * 0x2545f4914f6cdd1du >> 32) * bound >> 32);
    }

  private:
    uint64_t state;
};

/* ---- the texts ---- */

const char *const names[] = {"a", "total", "number_of_levels_seen_so_far", "x", "the_longest_of_all_names_in_use"};
constexpr unsigned name_count = sizeof names / sizeof *names;

std::string atom(Random &random) {
    return random.below(3) ? std::to_string(random.below(100000)) : names[random.below(name_count)];
}

/* From the inside out, level by level: making a text needs no deep stack. */
std::string text_of(Random &random, unsigned levels, bool faulty) {
    std::string before, after = faulty ? "?" : atom(random);

    for (unsigned i = 0; i < levels; i++) {
        switch (random.below(4)) {
        case 0:
            before += atom(random) + " + (";
            after += ")";
            break;
        case 1:
            before += "(";
            after += ") * " + atom(random) + " - " + atom(random);
            break;
        case 2:
            before += "max(" + atom(random) + ", ";
            after += ", " + atom(random) + ")";
            break;
        default:
            before += "(let " + std::string(names[random.below(name_count)]) + " = " + atom(random) + " in ";
            after += ")";
        }
    }
    return before + after;
}

/* ---- trees ---- */

struct Node {
    enum Kind { Number, Name, Operator, Call, Let } kind;
    std::string text; /* of a number, a name, an operator, a function; the name that a let binds */
    std::vector<std::unique_ptr<Node>> parts;
};

using Tree = std::unique_ptr<Node>;

Tree node(Node::Kind kind, std::string text) {
    Tree tree(new Node);

    tree->kind = kind;
    tree->text = std::move(text);
    return tree;
}

/*
 * expression := "let" name "=" expression "in" expression | sum
 * sum        := product { ("+" | "-") product }
 * product    := primary { "*" primary }
 * primary    := number | name [ "(" expression { "," expression } ")" ] | "(" expression ")"
 */
class Parser {
  public:
    explicit Parser(const std::string &source) : text(source) {
        next();
    }

    Tree whole() {
        Tree tree = expression();

        if (!word.empty()) {
            fail();
        }
        return tree;
    }

  private:
    Tree expression() {
        return word == "let" ? let() : sum();
    }

    Tree let() {
        next();
        Tree tree = node(Node::Let, taken());

        expect("=");
        tree->parts.push_back(expression());
        expect("in");
        tree->parts.push_back(expression());
        return tree;
    }

    Tree sum() {
        Tree left = product();

        while (word == "+" || word == "-") {
            left = pair(std::move(left), &Parser::product);
        }
        return left;
    }

    Tree product() {
        Tree left = primary();

        while (word == "*") {
            left = pair(std::move(left), &Parser::primary);
        }
        return left;
    }

    Tree pair(Tree left, Tree (Parser::*right)()) {
        Tree tree = node(Node::Operator, taken());

        tree->parts.push_back(std::move(left));
        tree->parts.push_back((this->*right)());
        return tree;
    }

    Tree primary() {
        if (word == "(") {
            next();
            Tree inner = expression();

            expect(")");
            return inner;
        }
        if (word.empty() || !isalnum(static_cast<unsigned char>(word[0]))) {
            fail();
        }
        Tree tree = node(isdigit(static_cast<unsigned char>(word[0])) ? Node::Number : Node::Name, taken());

        return word == "(" ? call(std::move(tree)) : std::move(tree);
    }

    Tree call(Tree function) {
        function->kind = Node::Call;
        do {
            next();
            function->parts.push_back(expression());
        } while (word == ",");
        expect(")");
        return function;
    }

    std::string taken() {
        std::string was = word;

        next();
        return was;
    }

    void expect(const char *what) {
        if (word != what) {
            fail();
        }
        next();
    }

    [[noreturn]] void fail() const {
        throw std::runtime_error("'" + word + "' is not expected at " + std::to_string(at));
    }

    static bool in_name(char c) {
        return isalnum(static_cast<unsigned char>(c)) || c == '_';
    }

    /* The next word becomes the current one: a name, a number, one character, or nothing at the end. */
    void next() {
        while (at < text.size() && text[at] == ' ') {
            at++;
        }
        size_t from = at;

        while (at < text.size() && in_name(text[at])) {
            at++;
        }
        at += at == from && at < text.size();
        word = text.substr(from, at - from);
    }

    const std::string &text;
    size_t at = 0;
    std::string word;
};

/* ---- values ---- */

using Bindings = std::map<std::string, uint64_t>;

uint64_t value_of(const Node &tree, Bindings &bindings);

/* The outer binding of the name comes back behind the let. */
uint64_t let_value(const Node &tree, Bindings &bindings) {
    uint64_t bound = value_of(*tree.parts[0], bindings);
    auto found = bindings.find(tree.text);
    bool had = found != bindings.end();
    uint64_t outer = had ? found->second : 0;

    bindings[tree.text] = bound;
    uint64_t value = value_of(*tree.parts[1], bindings);

    if (had) {
        bindings[tree.text] = outer;
    } else {
        bindings.erase(tree.text);
    }
    return value;
}

uint64_t folded(const Node &tree, const std::vector<uint64_t> &values) {
    uint64_t value = values[0];

    for (size_t i = 1; i < values.size(); i++) {
        switch (tree.text[0]) {
        case '+': value += values[i]; break;
        case '-': value -= values[i]; break;
        case '*': value *= values[i]; break;
        default: value = std::max(value, values[i]);
        }
    }
    return value;
}

uint64_t value_of(const Node &tree, Bindings &bindings) {
    std::vector<uint64_t> values;

    switch (tree.kind) {
    case Node::Number: return std::stoull(tree.text);
    case Node::Name: return bindings.count(tree.text) ? bindings[tree.text] : tree.text.size();
    case Node::Let: return let_value(tree, bindings);
    default:
        for (const Tree &part : tree.parts) {
            values.push_back(value_of(*part, bindings));
        }
        return folded(tree, values);
    }
}

/* In prefix form, cut so that its length does not grow with the square of the depth. */
std::string printed(const Node &tree) {
    std::string line = "(" + tree.text;

    for (const Tree &part : tree.parts) {
        line += " " + printed(*part);
    }
    return line.size() > 200 ? line.substr(0, 100) + line.substr(line.size() - 80) + ")" : line + ")";
}

/* ---- the run ---- */

uint64_t checked(uint64_t sum, const std::string &text) {
    for (unsigned char c : text) {
        sum = (sum ^ c) * 0x100000001b3u;
    }
    return sum;
}

uint64_t seen(uint64_t sum, const std::string &text) {
    try {
        Tree tree = Parser(text).whole();
        Bindings bindings;

        return checked(sum, printed(*tree)) + value_of(*tree, bindings);
    } catch (const std::runtime_error &fault) {
        return checked(sum, fault.what());
    }
}

/* Most are shallow, few deep: the square of a random number. */
unsigned levels_of(Random &random) {
    unsigned part = random.below(1000);

    return 4 + 396 * part / 1000 * part / 1000;
}

} // namespace

int main(int argc, char **argv) {
    unsigned different = argc == 3 ? static_cast<unsigned>(atoi(argv[1])) : 0;
    unsigned times = argc == 3 ? static_cast<unsigned>(atoi(argv[2])) : 0;
    Random random(80);
    std::vector<std::string> texts;
    uint64_t sum = 0xcbf29ce484222325u;

    if (different == 0 || times == 0) {
        fprintf(stderr, "usage: expressions DIFFERENT TIMES\n");
        return 2;
    }
    for (unsigned i = 0; i < different; i++) {
        unsigned levels = levels_of(random);

        texts.push_back(text_of(random, levels, random.below(16) == 0));
    }
    for (unsigned i = 0; i < different * times; i++) {
        sum = seen(sum, texts[times == 1 ? i : random.below(different)]);
    }
    printf("expressions %016llx\n", static_cast<unsigned long long>(sum));
    return 0;
}
