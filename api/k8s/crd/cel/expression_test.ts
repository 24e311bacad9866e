import { assertEquals, assertThrows } from "@std/assert";
import { ExpressionError } from "./ast.ts";
import { Scope } from "./compiled.ts";
import { Compiler } from "./compiler.ts";
import { allFunctions } from "./library/mod.ts";
import { CostExceeded, Meter, RULE_COST_LIMIT } from "./meter.ts";
import { parse } from "./parser.ts";
import { DYN, formatType, INT, listOf, mapOf, STRING, type Type } from "./types.ts";
import { EvaluationError, ListValue, MapValue, type Value } from "./values.ts";

const VARIABLES: readonly [string, Type, Value][] = [
  ["d", DYN, "50%"],
  ["n", INT, 3n],
  ["s", STRING, "abc"],
  ["xs", listOf(INT), new ListValue([1n, 2n, 3n])],
  ["m", mapOf(STRING, INT), new MapValue(new Map([["a", 1n]]))],
];
const FUNCTIONS = allFunctions();

function compile(source: string): { type: string; run: (meter?: Meter) => Value } {
  const compiler = new Compiler(FUNCTIONS, VARIABLES.length);
  const names = VARIABLES.map(([name, type], slot) => [name, { type, slot }] as const);
  const { type, run } = compiler.compile(parse(source), new Scope(new Map(names)));
  return {
    type: formatType(compiler.bindings.resolve(type)),
    run: (meter = new Meter(RULE_COST_LIMIT)) =>
      run({ slots: VARIABLES.map(([, , value]) => value), meter }),
  };
}

/** Expressions that are true. */
const TRUE: Readonly<Record<string, readonly string[]>> = {
  "literals and operators": [
    "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 % 4 == 3 && -7 / 2 == -3 && 2 - 1 - 1 == 0",
    "0x1F == 31 && 1.5e1 == 15.0 && .5 == 0.5 && -9223372036854775808 < 0",
    "'a\\tb\\x41\\u00e9\\U0001F600\\101' == \"a\tbA\u00e9\u{1f600}A\"",
    "r'\\d' == '\\\\d' && '''a'b''' == \"a'b\" && b'\u00e9' == b'\\xc3\\xa9' && rb'\\x' == b'\\\\x'",
    "1 < 2 && 2 <= 2 && 3 > 2 && 1.5 < 2 && 2 >= 1.5 && 'a' < 'b' && false < true && b'a' < b'b'",
    "'\uffff' < '\u{10000}'",
    "'a' + 'b' == 'ab' && [1] + [2] == [1, 2] && b'a' + b'b' == b'ab'",
    "true ? n == 3 : false // a comment",
    "!false && !!true && -(-n) == 3 && --3 == 3",
    "1 in [1, 2] && !(3 in [1, 2]) && 'a' in m && !('b' in m)",
    "m['a'] == 1 && m.a == 1 && xs[0] == 1 && {1: 'x'}[1] == 'x' && {true: 2}[true] == 2",
    "{'a': dyn(1), 'b': dyn([1])} == {'b': dyn([1]), 'a': dyn(1)} && {} == {} && [] == []",
    "dyn(1) == 1.0 && dyn(1) != 'a' && null == null && dyn(xs) != dyn(null)",
  ],
  "what fails may not matter": [
    "true || 1 / 0 == 1",
    "1 / 0 == 1 || true",
    "!(false && 1 / 0 == 1) && !(1 / 0 == 1 && false)",
    "xs.exists(x, 1 / (x - 2) == 1 || x == 2)",
    "!xs.all(x, 1 / (x - 1) > 5)",
    "true ? true : 1 / 0 == 1",
  ],
  macros: [
    "has(m.a) && !has(m.b)",
    "xs.all(x, x > 0) && !xs.all(x, x > 1) && [].all(x, x)",
    "xs.exists(x, x == 3) && !xs.exists(x, x == 4)",
    "xs.exists_one(x, x > 2) && !xs.exists_one(x, x > 1) && xs.existsOne(x, x == 1)",
    "xs.filter(x, x % 2 == 1) == [1, 3]",
    "xs.map(x, x * x) == [1, 4, 9] && xs.map(x, x > 1, x + 1) == [3, 4]",
    "m.all(k, k == 'a') && m.map(k, m[k]) == [1] && m.filter(k, true) == ['a']",
    "xs.all(x, xs.exists(y, x == y && xs.all(x, x > 0)))",
    "xs.all(i, x, x == i + 1) && m.exists(k, v, k == 'a' && v == 1)",
    "xs.transformList(i, x, i * x) == [0, 2, 6] && m.transformMap(k, v, v + 1) == {'a': 2}",
    "xs.transformList(i, x, i > 0, x) == [2, 3]",
  ],
  optionals: [
    "m[?'a'].value() == 1 && m[?'b'].orValue(5) == 5 && m.?b.orValue(7) == 7",
    "!m.?b.hasValue() && m.?a.hasValue() && xs[?9] == optional.none()",
    "[?optional.of(1), ?optional.none(), 3] == [1, 3] && {?'a': m.?b, 'c': 1} == {'c': 1} && {?'a': m.?a}.a == 1",
    "optional.of(1).or(optional.none()).value() == 1 && optional.none().or(optional.of(2)).value() == 2",
    "m.?a.optMap(x, x + 1).value() == 2 && m.?b.optMap(x, x + 1) == optional.none()",
    "m.?a.optFlatMap(x, optional.of(x)).value() == 1 && !optional.ofNonZeroValue('').hasValue()",
    "{'a': {'b': 1}}.?a.?b.orValue(0) == 1 && {'a': {'b': 1}}.?x.b.orValue(0) == 0",
  ],
  conversions: [
    "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && int(timestamp('1970-01-01T00:01:00Z')) == 60",
    "double('1.5') == 1.5 && double(2) == 2.0 && string(1.5) == '1.5' && string(12) == '12'",
    "string(true) == 'true' && bool('true') && string(b'abc') == 'abc' && bytes('\u00e9').size() == 2",
    "string(1e21) == '1e+21' && string(0.00001) == '1e-05' && string(duration('90s')) == '90s'",
    "type(1) == int && type('') == string && type([]) == list && type(d) == string && type(type(1)) == type",
    "type(d) == string && d.matches('(\\\\d+(\\\\.\\\\d+)?%)')",
    "type(null) == null_type && type(duration('1s')) == google.protobuf.Duration",
  ],
  texts: [
    "s.size() == 3 && size('\u{1f600}x') == 2 && '\u{1f600}x'.charAt(1) == 'x' && s.charAt(3) == ''",
    "s.startsWith('ab') && s.endsWith('bc') && s.contains('b') && s.matches('^a.c$') && matches(s, 'b')",
    "'hello mellow'.indexOf('ello', 2) == 7 && 'hello'.lastIndexOf('l') == 3 && ''.indexOf('') == 0",
    "'hello mellow'.lastIndexOf('ello', 6) == 1 && 'hello'.indexOf('jello') == -1",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c']",
    "'a,b'.split(',', 0) == [] && 'a,b'.split(',', -1) == ['a', 'b']",
    "'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
    "'hello'.replace('', '_') == '_h_e_l_l_o_' && 'ab'.replace('', '_', 1) == '_ab' && 'a'.replace('a', 'b', 0) == 'a'",
    "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab' && [].join() == ''",
    "'TacoC\u00c6t'.lowerAscii() == 'tacoc\u00c6t' && 'tacoc\u00e6t'.upperAscii() == 'TACOC\u00e6T' && ' \\u00a0x\\t'.trim() == 'x'",
    "'%s is %d of %.2f, %b %x %X %o%%'.format(['a', 3, 1.5, 5, 255, 'k', 8]) == 'a is 3 of 1.50, 101 ff 6B 10%'",
    "'%s'.format([[dyn(1), dyn('a'), dyn(null)]]) == '[1, \"a\", null]' && '%s'.format([{'b': 1, 'a': 2}]) == '{\"a\":2, \"b\":1}'",
    "'%.0f %.0f %.2e %e %f'.format([2.5, 3.5, 0.000999999, -1234.5, 1e22]) == '2 4 1.00e-03 -1.234500e+03 10000000000000000000000.000000'",
    "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'123 abc 456'.findAll('[0-9]+') == ['123', '456'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
  ],
  lists: [
    "[1, 1, 2].isSorted() && ![2, 1].isSorted() && ['a', 'b'].isSorted() && [].isSorted()",
    "[1, 3].sum() == 4 && [1.5, 1.5].sum() == 3.0 && [duration('1m'), duration('1s')].sum() == duration('61s')",
    "[2, 1, 3].min() == 1 && [2, 1, 3].max() == 3 && ['b', 'a'].min() == 'a'",
    "['a', 'b', 'b'].indexOf('b') == 1 && ['a', 'b', 'b'].lastIndexOf('b') == 2 && [1].indexOf(2) == -1",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 1, 2], [2, 1]) && !sets.intersects([1], [2])",
  ],
  time: [
    "duration('1h30m').getMinutes() == 90 && duration('-1.5s').getMilliseconds() == -1500",
    "duration('1m') + duration('1s') == duration('61s') && duration('60m') == duration('1h')",
    "timestamp('2024-02-29T23:30:00Z').getDayOfMonth() == 28 && timestamp('2024-02-29T23:30:00Z').getDate() == 29",
    "timestamp('2024-02-29T23:30:00Z').getDate('+01:00') == 1 && timestamp('2024-02-29T23:30:00Z').getMonth('Europe/Berlin') == 2",
    "timestamp('2024-12-31T00:00:00Z').getDayOfYear() == 365 && timestamp('2024-01-07T00:00:00Z').getDayOfWeek() == 0",
    "timestamp('2024-01-01T00:00:00.5Z') - timestamp('2024-01-01T00:00:00Z') == duration('500ms')",
    "timestamp('2024-01-01T01:00:00+01:00') == timestamp('2024-01-01T00:00:00Z')",
    "string(timestamp('2024-01-01T00:00:00.120Z')) == '2024-01-01T00:00:00.12Z'",
    "timestamp('2024-01-01T00:00:00Z') + duration('24h') > timestamp('2024-01-01T00:00:00Z')",
  ],
  urls: [
    "isURL('https://user:pass@example.com:80/path?query=val#fragment') && isURL('/absolute-path')",
    "!isURL('https://a:b:c/') && !isURL('../relative-path') && !isURL('') && !isURL('a b')",
    "url('https://example.com:80/').getHost() == 'example.com:80' && url('https://[::1]:80/').getHost() == '[::1]:80'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://example.com/').getPort() == '' && url('https://[::1]:80/').getPort() == '80'",
    "url('/path').getScheme() == '' && url('/path').getHost() == '' && url('HTTPS://a/').getScheme() == 'https'",
    "url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/' && url('https://example.com').getEscapedPath() == ''",
    "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
    "url('https://example.com/path?key with spaces=value with spaces').getQuery() == {'key with spaces': ['value with spaces']}",
    "url('https://example.com/path?').getQuery() == {} && url('/a') == url('/a')",
  ],
  addresses: [
    "isIP('127.0.0.1') && isIP('::1') && !isIP('127.0.0.256') && !isIP(':::1') && !isIP('::ffff:1.2.3.4') && !isIP('01.2.3.4')",
    "ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD') && !ip.isCanonical('2001:db8:0:0:0:0:0:abcd')",
    "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6 && string(ip('1:0:0:2:0:0:0:3')) == '1:0:0:2::3'",
    "ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified() && ip('127.0.0.1').isLoopback() && ip('224.0.0.1').isLinkLocalMulticast()",
    "ip('ff02::1').isLinkLocalMulticast() && ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
    "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && ip('2001:db8::abcd').isGlobalUnicast()",
    "isCIDR('192.168.0.0/16') && isCIDR('::1/128') && !isCIDR('192.168.0.0/33') && !isCIDR('::1/129') && !isCIDR('::1')",
    "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')",
    "cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24')) && !cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')",
    "cidr('192.168.0.1/24').ip() == ip('192.168.0.1') && cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')",
    "cidr('192.168.0.1/24') != cidr('192.168.0.1/24').masked() && cidr('::1/128').prefixLength() == 128 && string(cidr('::/0')) == '::/0'",
  ],
  quantities: [
    "isQuantity('1.3G') && isQuantity('1.3Gi') && !isQuantity('1,3G') && isQuantity('10000k') && !isQuantity('200K') && !isQuantity('Three') && !isQuantity('Mi')",
    "quantity('50000000G').isInteger() && !quantity('9999999999999999999999999999999999999G').isInteger() && quantity('50k').asInteger() == 50000",
    "quantity('50k').sub(20000).asApproximateFloat() == 30000.0 && quantity('50k').add(quantity('20k')) == quantity('70k')",
    "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20') && quantity('-1').sign() == -1",
    "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('50M').compareTo(quantity('50Mi')) == -1",
    "quantity('150Mi').isGreaterThan(quantity('100Mi')) && quantity('50M').isLessThan(quantity('100M')) && quantity('1e3') == quantity('1k')",
  ],
  formats: [
    "!format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('My').hasValue()",
    "format.dns1123Subdomain().validate('a..b').value()[0].startsWith('a lowercase RFC 1123 subdomain must')",
    "!format.dns1123LabelPrefix().validate('my-').hasValue() && !format.qualifiedName().validate('example.com/Name').hasValue()",
    "format.named('uri').hasValue() && !format.named('none').hasValue() && !format.labelValue().validate('').hasValue()",
    "format.uuid().validate('x').value() == ['does not match the UUID format'] && !format.date().validate('2021-01-01').hasValue()",
    "!format.byte().validate('aGVsbG8=').hasValue() && !format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
  ],
};

for (const [name, sources] of Object.entries(TRUE)) {
  Deno.test(`evaluates ${name}`, () => {
    for (const source of sources) {
      const { type, run } = compile(source);
      assertEquals([source, type, run()], [source, "bool", true]);
    }
  });
}

Deno.test("refuses to compile what has no meaning, in the words of cel-go", () => {
  const cases: readonly [string, string][] = [
    ["1 +", "1:4: Syntax error: mismatched input '<EOF>'"],
    ["s.foo", "1:2: type 'string' does not support field selection"],
    ["nope", "1:1: undeclared reference to 'nope' (in container '')"],
    ["s > 1", "1:3: found no matching overload for '_>_' applied to '(string, int)'"],
    ["s.nope()", "1:7: undeclared reference to 'nope' (in container '')"],
    ["s.startsWith(1)", "found no matching overload for 'startsWith' applied to 'string.(int)'"],
    ["n == s", "found no matching overload for '_==_' applied to '(int, string)'"],
    ["n == null", "found no matching overload for '_==_' applied to '(int, null)'"],
    ["n.all(x, true)", "expression of type 'int' cannot be range of a comprehension"],
    ["xs.all(x, x)", "expected type 'bool' but found 'int'"],
    ["xs.all(1, true)", "argument must be a simple name"],
    ["[1, 'a']", "1:5: expected type 'int' but found 'string'"],
    ["true ? 1 : 'a'", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"],
    ["1 && true", "found no matching overload for '_&&_' applied to '(int, bool)'"],
    ["s.matches('(')", "invalid matches argument: error parsing regexp"],
    ["duration('1y')", 'invalid duration argument: time: invalid duration "1y"'],
    ["timestamp('now')", "invalid timestamp argument"],
    ["has(n)", "invalid argument to has() macro"],
    ["'a", "token recognition error at: '''"],
    ["'\\q'", "invalid escape: \\q"],
    ["1u", "unsigned integers are not supported"],
    ["9223372036854775808", "invalid int literal"],
    ["if", "reserved identifier: if"],
    ["a # b", "token recognition error at: '#'"],
    ["semver('1.0.0')", "undeclared reference to 'semver'"],
    ["{[1]: 1}", "1:1: unsupported map key type: list(int)"],
    ["[1].map(x, {1.5: x})", "unsupported map key type: double"],
    ["f(1,)", "mismatched input ')'"],
    [`${"(".repeat(300)}1${")".repeat(300)}`, "expression recursion limit exceeded: 250"],
    [`n${" + n".repeat(300)}`, "expression recursion limit exceeded: 250"],
    [`m${".a".repeat(300)}`, "expression recursion limit exceeded: 250"],
    [
      `(((n${" + n".repeat(200)})${" + n".repeat(200)}))`,
      "expression recursion limit exceeded: 250",
    ],
    [`[${"1,".repeat(11_000)}]`, "more than 10000 terms"],
    [" ".repeat(40_000), "expression code point size exceeds limit"],
  ];
  for (const [source, message] of cases) {
    const error = assertThrows(() => compile(source), ExpressionError);
    const text = error.describe(source);
    assertEquals([source, text.includes(message) ? message : text], [source, message]);
  }
});

Deno.test("a long chain of && is no depth", () => {
  assertEquals(compile(Array.from({ length: 2000 }, () => "true").join(" && ")).run(), true);
});

Deno.test("fails in the words of cel-go where a value does not allow it", () => {
  const cases: readonly [string, string][] = [
    ["1 / 0", "division by zero"],
    ["1 % 0", "modulus by zero"],
    ["9223372036854775807 + 1", "integer overflow"],
    ["-(-9223372036854775807 - 1)", "integer overflow"],
    ["xs[3]", "index out of bounds: 3"],
    ["m.b", "no such key: b"],
    ["m['b']", "no such key: b"],
    ["d + 1", "no such overload"],
    ["d < 5", "no such overload"],
    ["int('x')", "type conversion error from 'string' to 'int': x"],
    ["s.charAt(4)", "index out of range: 4"],
    ["s.substring(2, 1)", "invalid substring range. start: 2, end: 1"],
    ["[1].filter(x, x > 1).min()", "min called on empty list"],
    ["optional.none().value()", "optional.none() dereference"],
    ["{n: 1, 3: 2}", "Failed with repeated key: 3"],
    ["url('../x')", "URL parse error during conversion from string"],
    ["ip('x')", "parse error during conversion from string"],
    ["quantity('x')", "quantities must match the regular expression"],
    ["quantity('1.5').asInteger()", "cannot convert value to integer"],
    ["s.matches(s + '(')", "error parsing regexp"],
    ["'%d'.format(['a'])", "error during formatting: %d"],
    ["string(b'\\xff')", "invalid UTF-8"],
    ["timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"],
    ["duration('9223372036s') + duration('9223372036s')", "duration overflow"],
    [
      "timestamp('2024-01-01T00:00:00Z').getHours('Nowhere/Town')",
      "unknown time zone Nowhere/Town",
    ],
    ["[true].all(x, dyn(1))", "no such overload"],
    ["false || d", "no such overload"],
  ];
  for (const [source, message] of cases) {
    const { run } = compile(source);
    const error = assertThrows(() => run(), EvaluationError);
    assertEquals(
      [source, error.message.includes(message) ? message : error.message],
      [source, message],
    );
  }
});

Deno.test("nothing that a rule can write runs beyond its budget", () => {
  const ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
  const nested = (body: string) =>
    [..."abcdefg"].reduce((inner, name) => `${ten}.all(${name}, ${inner})`, body);
  const doubled = `['aaaaaaaaaa']${".map(x, x + x)".repeat(60)}`;
  const cases = [
    nested("true"),
    nested("1 / 0 == 0 || true"),
    nested("'aaaaaaaaaaaaaaaa'.matches('(a*)*b') == false"),
    nested("'x'.matches('x' + string(a * b * c * d)) || true"),
    nested("timestamp('2024-01-01T00:00:00Z').getHours('Europe/Berlin') >= 0"),
    `${doubled}.size() > 0`,
    `${doubled}[0].replace('a', 'aaaaaaaaaa').size() > 0`,
    `[1]${".map(x, [x, x])".repeat(3)}.size() > 0 && ${nested("true")}`,
    `[[1]]${".map(x, x + x)".repeat(60)}.size() > 0`,
    `'%s'.format([${doubled}]).size() > 0`,
    `${doubled}[0].split('').size() > 0`,
  ];
  for (const source of cases) assertThrows(() => compile(source).run(), CostExceeded, "cost limit");
});
