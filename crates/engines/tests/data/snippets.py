"""Small templates: a list that covers the features of jinja2 one by one, and random ones from a typed grammar."""

import random

MESSAGES = [
    {"role": "system", "content": " Be <brief> & 'kind'. "},
    {"role": "user", "content": "Hello\nworld  é"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": [1.5, None, True], "big": 2**64 - 1, "low": -(2**63)}}}]},
]
VARIABLES = {
    "s": "  Hello, World! it's\t",
    "e": "",
    "u": "Straße ÉCOLE ﬁ ǆ 日本",
    "n": 7,
    "z": 0,
    "m": -3,
    "f": 2.5,
    "tiny": 1e-07,
    "large": 1e16,
    "t": True,
    "no": None,
    "l": [3, 1, 2],
    "w": ["b", "A", "c", "a"],
    "mixed": [1, "x", None, True, 2.0, {"k": "v"}, [1]],
    "d": {"b": 2, "A": 1, "items": "entry", "nested": {"x": [1, 2]}, "c d": "e"},
    "rows": [{"k": "x", "v": 1, "o": True}, {"k": "y", "v": 2}, {"k": "x", "v": 3, "o": False}],
    "lines": "one\ntwo\r\nthree\n\nfive",
    "code": "a,b,,c",
}

EXPRESSIONS = r"""
s|trim
s.strip()
s.strip(' !\t')
s.lstrip() ~ '|' ~ s.rstrip()
s.upper() + s.lower()
u.upper() ~ u.lower() ~ u.capitalize()
u|upper ~ u|lower
u|title
u|capitalize
s|title
'ab-cd ef_gh (ij)'|title
"it's o'neill"|title
"it's o'neill".title()
s|capitalize
code.split(',')
code.split(',', 1)
code.rsplit(',', 1)
code.split(',')[-1]
code.split(',')[0]
s.split()
s.split(None, 1)
s.split(maxsplit=1)
' a b '.rsplit(None, 1)
lines.splitlines()
lines.splitlines(true)
lines.splitlines(keepends=True)
code.replace(',', ';')
code.replace(',', ';', 2)
code|replace(',', ';')
code|replace(',', ';', 1)
'aaa'.replace('', '-')
s.find('World')
s.rfind('o')
s.index('W')
s.count('l')
s.startswith('  He')
s.startswith(('x', '  '))
s.endswith('\t')
s.endswith(('!', '\t'))
code.partition(',')
code.rpartition(',')
'x' .join(w)
','.join(w)
w|join(', ')
mixed|join('|')
l|join
rows|join(',', attribute='k')
'7'.zfill(3) ~ '-7'.zfill(4) ~ 'x'.center(6, '*') ~ 'x'.ljust(3) ~ '|' ~ 'x'.rjust(3)
'abc'.removeprefix('a').removesuffix('c')
'12'.isdigit() ~ 'a1'.isalnum() ~ 'ab'.isalpha() ~ 'AB'.isupper() ~ 'ab'.islower() ~ ' '.isspace()
'Ab Cd'.istitle()
'{} and {}'.format(n, s)
'{0}{1}{0}'.format('a', 'b')
'{x:>5}|{y:.2f}'.format(x='a', y=f)
'{:,}'.format(1234567)
'{:05d}'.format(n)
'%s-%d' % (s, n)
'%s' % n
'%05.2f' % f
'%s' % l
'%(a)s' % {'a': 1}
"%s" | format(n)
"%s is %s" | format(s, d)
l
w
mixed
d
(1,)
(1, 'a')
()
[]
{}
{'a': 1, 2: 'b', none: true}
[s, u, "it's", 'q"', "\\", '\n']
"\x41\u00e9\t|\101"
'a\'b' ~ "c\"d"
'\d\w\/'
'a' 'b'
n + 1
n - 10
n * 3
n / 2
n // 2
m // 2
m % 5
n % 4
n ** 2
2 ** -1
-n
+n
n / 7
7 / 7
f * 2
f + n
f // 1
f % 1
large
tiny
[tiny, large, 0.1]
tiny ~ ''
large ~ 'x'
1e16
1e-5
1e100
1_000
0x1F
1.0
100000000000000000000
messages[2].tool_calls[0].function.arguments.big
messages[2].tool_calls[0].function.arguments.low ~ ''
messages[2].tool_calls[0].function.arguments.big + 1
messages[2].tool_calls[0].function.arguments.low is integer
0.1 + 0.2
1 / 3
10 / 4
s * 2
[1] * 3
[1, 2] + [3]
(1, 2) + (3,)
l + w
s ~ n ~ none ~ true ~ f
no
t
not t
no is none
no is not none
missing
missing is defined
missing is not defined
missing|default('x')
e|default('x')
e|default('x', true)
no|default('x')
no|default('x', boolean=true)
missing|d('y')
missing ~ 'x'
missing|length
missing|list
missing|string
missing == missing
missing is none
missing in l
[missing]
'x' in missing
d.missing
d['missing']
d.missing is defined
d.get('b')
d.get('zz')
d.get('zz', 'dflt')
d['b']
d.b
d['items']
d.items()|list
d.keys()|list
d.values()|list
d|items|list
d|length
d|list
d|dictsort
d|dictsort(true)
rows[0]|dictsort(false, 'key')
{'b': 1, 'a': 2, 'C': 0}|dictsort
{'b': 1, 'a': 2, 'C': 0}|dictsort(case_sensitive=true)
{'b': 1, 'a': 2, 'C': 0}|dictsort(by='value')
{'b': 1, 'a': 2, 'C': 0}|dictsort(reverse=true)
d.nested.x[0]
d['nested']['x'][-1]
d.nested.x[5]
'b' in d
'zz' in d
'zz' not in d
'ell' in s
3 in l
'x' not in w
d|tojson
d|tojson(indent=2)
d|tojson(indent=0)
d|tojson(indent='\t')
d|tojson(separators=(',', ':'))
d|tojson(sort_keys=true)
d|tojson(ensure_ascii=true)
u|tojson(ensure_ascii=True)
u|tojson
mixed|tojson
mixed|tojson(indent=4)
[tiny, large, 1.0, -0.0, n]|tojson
"<a href='x'>&amp;</a>"|tojson
{}|tojson
[]|tojson(indent=2)
{'a': []}|tojson(indent=2)
(1, 2)|tojson
{1: 2, true: 3, none: 4}|tojson
no|tojson
messages|tojson
messages[2].tool_calls[0].function|tojson
messages[2]['tool_calls'][0]['function']['arguments']|tojson
messages[1:]|tojson
messages[0].content
messages[0]['content']|trim
messages[-1].role
messages|length
messages[1:]|length
messages[:-1]|map(attribute='role')|list
messages[::-1]|map(attribute='role')|join(',')
messages[::2]|map(attribute='role')|join(',')
l[1:]
l[:2]
l[::-1]
l[-2:]
l[5:]
s[2:7]
s[::-1]
s[-3:]
s[0]
s[99]
s[:-1]
l[-9:2]
l[2:0:-1]
(1, 2, 3)[1:]
range(5)|list
range(2, 10, 3)|list
range(5, 0, -2)|list
range(3)[1]
l|first
l|last
e|first
[]|first
w|first ~ w|last
l|sort
w|sort
w|sort(case_sensitive=true)
w|sort(reverse=true)
rows|sort(attribute='v', reverse=true)|map(attribute='v')|list
rows|sort(attribute='k,v')|map(attribute='v')|list
l|reverse|list
'abc'|reverse
l|sum
rows|sum(attribute='v')
l|min
l|max
w|min
w|unique|list
[1, 1, 2, 'a', 'A']|unique|list
rows|map(attribute='k')|unique|list
rows|map(attribute='o')|list
rows|map(attribute='o', default='D')|list
rows|selectattr('o')|list|length
rows|selectattr('o', 'defined')|map(attribute='v')|list
rows|selectattr('k', 'equalto', 'x')|map(attribute='v')|list
rows|selectattr('k', '==', 'x')|list|length
rows|selectattr('k', 'in', ['y'])|map(attribute='v')|list
rows|selectattr('v', 'gt', 1)|map(attribute='v')|list
rows|rejectattr('k', 'eq', 'x')|map(attribute='v')|list
rows|rejectattr('o')|list|length
rows|groupby('k')|map('first')|list
rows|map('length')|list
w|map('upper')|list
w|map('upper')|join
w|select('equalto', 'A')|list
l|select('odd')|list
l|reject('odd')|list
mixed|select('string')|list
mixed|select|list
mixed|reject|list
mixed|select('none')|list
mixed|select('mapping')|list
mixed|select('number')|list
l|batch(2)|list
l|batch(2, 'x')|list
l|slice(2)|list
range(7)|slice(3)|list
l|length
s|length
u|length
d|count
n|string
f|string
tiny|string
d|string
'5'|int + 1
'x'|int
'x'|int(9)
'5.7'|int
f|int
'0x1f'|int(base=16)
'2.5'|float
'x'|float
'x'|float(1.5)
n|float
f|round
2.567|round(2)
2.5|round
3.5|round
2.1|round(method='ceil')
2.9|round(0, 'floor')
n|round
m|abs
f|abs
s|list
'ab'|list
d|list
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(width=2, first=true, blank=true)
lines|indent('> ')
s|wordcount
s|center(40)
'<a>'|escape
'<a>'|e
'<a>'|safe
s is string
n is number
n is integer
f is float
f is number
t is boolean
t is number
t is integer
n is boolean
no is none
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
n is sequence
l is iterable
s is iterable
d is iterable
n is iterable
missing is iterable
missing is sequence
missing is string
missing is mapping
messages[1:] is sequence
messages[1:] is iterable
d.items() is sequence
d.items() is iterable
(1,2) is sequence
tiny is float
tiny is number
n is odd
n is even
n is divisibleby(7)
n is divisibleby 7
n is eq 7
n is equalto 7
n == 7.0
n is sameas 7
no is sameas none
t is true
t is sameas true
n is true
z is false
s is lower
'ab' is lower
'AB' is upper
n is gt 3
n is in [7]
n is in([1, 7])
'a' is in 'abc'
n is not in [1]
range is callable
n is callable
d.get is callable
s is defined and s is string
l is defined and l|length > 2
t == 1
1 == 1.0
'1' == 1
none == false
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
1 < 2 < 3
3 > 2 >= 2
1 < 3 < 2
'a' < 'b'
[1, 2] < [1, 3]
n > 3 and f < 3
n < 3 or 'x'
e or 'dflt'
no or z or 'last'
t and 'yes'
e and 'yes'
not e
not not l
'a' if t else 'b'
'a' if e else 'b'
'a' if e
('a' if e)|default('x')
'x' if missing is defined else 'y'
n if n > 3 else m if m else z
(n > 3)|string
[n, f][0]
{'a': n}.a
{'a': n}['a']
{'get': 1}.get('get')
dict(a=1, b=2)
dict(d, z=9)
dict([('a', 1)])
dict({'a': 1}).a
[[1, 2], [3]]|sum(start=[])
l.index(1)
l.count(3)
'abc'.index('c')
(l + [4])[-1]
l|map('string')|join('+')
d.nested|tojson
s.strip().split(', ')[1].split("'")[0]
w|map('lower')|sort|join(',')
messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first
messages|selectattr('role', 'equalto', 'nobody')|map(attribute='content')|first
messages|map(attribute='role')|join(' -> ')
messages|rejectattr('role', 'in', ['system', 'developer'])|list|length
messages|selectattr('tool_calls', 'defined')|list|length
(messages|first).role
(messages|last)['role']
messages[0]['role'] == 'system' and messages[0].content is string
loop is defined
'%d%%' % 50
'-' * 20
'-' * 0
'-' * -1
1 ~ 2
1 ~ 2 + 3
2 * 3 ~ 4
-2 ** 2
2 ** 3 ** 2
7 // 2 * 2
10 - 2 - 3
not 1 == 2
n in l or 3 in l
'a' ~ ('b' if t else 'c') ~ 'd'
l|length > 2 and w|length > 3
l | length == 3
d.items()|map('first')|list
d.items()|map(attribute=0)|list
d.items()|map(attribute='0')|list
rows|map(attribute='k')|map('upper')|list
w[0] ~ w[-1]
w[n - 6]
w.0
d.nested.x.0
'a,b'.split(',')|map('upper')|join('-')
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %p %I %-d')
namespace(a=1).a
namespace(a=1).b
namespace({'a': 1}, b=2).b
true ~ True ~ none ~ None
[true, false, none]
'é'|length
'日本'[1]
"a\nb"|trim
' x '|trim ~ '|'
'xxaxx'|trim('x')
none|trim
n|trim
""|length == 0
{'a': {'b': {'c': 1}}}.a.b.c
{'a': 1}|items|list
[('a', 1), ('b', 2)]|list
l|tojson|length
d|tojson|safe
1.5|string ~ 2
1.0 * 3
5 // 0.3
1e3|int
12345678901234567890123|string
'a' in ['a', 'b'] and 'c' not in ['a']
(none)|string
'abc' > 'abd'
[] or {}
{} or none
none or ''
'abc'.__class__
d._private
d.__len__
messages|attr('role')
caller is defined
""" 

STATEMENTS = [
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }}:{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for m in messages %}\n  {{ m.role }}\n{% endfor %}\nend\n",
    "{%- for m in messages -%}\n  {{ m.role }}\n{%- endfor -%}\nend",
    "a\n  {% if t %}\n  b\n  {% endif %}\n c\n",
    "a\n  {%- if t %}\n  b\n  {%- endif %}\n c\n",
    "a\n  {% if t -%}\n  b\n  {% endif -%}\n c\n",
    "a\n  {%+ if t %}\n  b\n  {%+ endif %}\n c\n",
    "a {% if t +%}\n b {% endif +%}\n c",
    "a\n  {# comment #}\n  b\n",
    "a\n  {#- comment -#}\n  b\n",
    "a {# c #} b {# c #}\n c",
    "  {{ s }}  \n  {{- s -}}  \n x",
    "{{ s }}\n\n",
    "{{ s }}\n",
    "\n{{ s }}",
    "x{% raw %}{{ no }}{% if %}{% endraw %}y",
    "x\n {% raw %}\n {{ no }}\n {% endraw %}\n y",
    "x {%- raw -%} {{ no }} {%- endraw -%} y",
    "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a = 'b' %}{{ ns.a }}{{ ns.zz is defined }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set x %}  block {{ n }} {% endset %}[{{ x }}]",
    "{% set x | upper %}block{% endset %}[{{ x }}]",
    "{% set x | trim %}  block\n{% endset %}[{{ x }}]{{ x is string }}",
    "{% for a, b in d|items %}{{ a }}={{ b }};{% endfor %}",
    "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}",
    "{% for c in 'abc' %}{{ c }}-{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}",
    "{% for x in missing %}a{% else %}empty{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}:{{ loop.last }} {% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index0 }}{{ m.role }}{% endfor %}",
    "{% for x in l %}{{ loop.first }}{{ loop.last }}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}|{{ loop.nextitem }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}|{{ loop.nextitem is defined }};{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in w %}{{ loop.index }}{% if y == 'A' %}{% break %}{% endif %}{% endfor %}|{% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in w %}{{ outer.index }}.{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% if x == 3 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
    "{% for x in l %}{{ x }}{% endfor %}{{ x is defined }}",
    "{% for x in range(3) %}{{ x }}{% endfor %}",
    "{% for r in rows|groupby('k') %}{{ r.grouper }}:{{ r.list|length }} {% endfor %}",
    "{% for k, g in rows|groupby('k') %}{{ k }}:{{ g|map(attribute='v')|list }} {% endfor %}",
    "{% for x in l|sort %}{{ x }}{% endfor %}",
    "{% for x in messages[1:] %}{{ loop.index0 }}{{ x.role }}{{ loop.last }}{% endfor %}",
    "{% for x in messages|reverse %}{{ x.role }}{{ loop.first }}{% endfor %}",
    "{% for x in messages[::-1] %}{{ x.role }}{% set i = messages|length - 1 - loop.index0 %}{{ i }}{% endfor %}",
    "{% for i in range(messages|length - 1, -1, -1) %}{{ messages[i].role }}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0].content %}{% else %}{% set loop_messages = messages %}{% endif %}{{ sys }}{% for m in loop_messages %}{{ m.role }}{{ loop_messages[loop.index0 - 1].role }}{% endfor %}",
    "{% if n > 10 %}a{% elif n > 5 %}b{% else %}c{% endif %}",
    "{% if e %}a{% elif no %}b{% elif l %}c{% endif %}",
    "{% if not (t and e) %}y{% endif %}",
    "{% macro f(x, y=2) %}<{{ x }}{{ y }}>{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(y=4, x=5) }}",
    "{% macro f(x) %}{{ x is defined }}{% endmacro %}{{ f() }}",
    "{%- macro f(x) -%}\n  a {{ x }}\n{%- endmacro -%}\n[{{ f(1) }}]",
    "{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}body{% endcall %}",
    "{% macro f(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(v) f(l) %}<{{ v }}>{% endcall %}",
    "{% macro f() %}{{ n }}{{ messages|length }}{% endmacro %}{{ f() }}",
    "{% set g = 1 %}{% macro f() %}{{ g }}{% endmacro %}{{ f() }}",
    "{% set g = 1 %}{% macro f() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ f() }}",
    "{% set ns = namespace(i=0) %}{% macro f() %}{% set ns.i = ns.i + 1 %}{{ ns.i }}{% endmacro %}{{ f() }}{{ f() }}",
    "{% macro a(x) %}({{ b(x) }}){% endmacro %}{% macro b(x) %}{{ x }}{% endmacro %}{{ a(1) }}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f('a') ~ f('b') }}{{ f('  c ')|trim }}{{ f('x')|upper }}{{ f('') == '' }}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{% set y = f('q') %}{{ y }}{{ y is string }}{{ y|length }}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(*[1]) }}{{ f(**{'x': 2}) }}",
    "{% for x in l %}{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% endfor %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% filter upper %}ab {{ s }}{% endfilter %}",
    "{% filter trim|upper %}  ab {% endfilter %}",
    "{% generation %}x{{ n }}{% endgeneration %}",
    "a\n  {% generation %}\n  x{{ n }}\n  {% endgeneration %}\n b\n",
    "a\n  {%- generation -%}\n  x{{ n }}\n  {%- endgeneration -%}\n b\n",
    "{% for m in messages %}{% generation %}{{ m.role }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}",
    "{%generation%}{{ '{% generation %}' }}{%endgeneration%}{# {% generation %} #}{% raw %}{% generation %}{% endraw %}",
    "{% generation %}{% if t %}{% for x in l %}{{ x }}{% endfor %}{% endif %}{% endgeneration %}",
    "{% set generation = 1 %}{{ generation }}",
    "{{ '}}' }}{{ \"%}\" }}{{ {'a': {'b': 1}}['a'] }}",
    "{{ {'a': {'b': 1}} }}",
    "{% set x = {'a': '%}'} %}{{ x.a }}",
    "{{ raise_exception('no ' ~ n) }}",
    "{% if no %}{{ raise_exception('x') }}{% endif %}ok",
    "{{ missing.foo }}",
    "{{ missing['foo'] }}",
    "{{ missing() }}",
    "{{ no.foo }}|{{ n.foo }}|{{ s.foo }}|{{ l.foo }}|{{ no['foo'] }}|{{ n['x'] }}|{{ l['x'] }}",
    "{{ d.nested.y.z }}",
    "{{ 'a' + 1 }}",
    "{{ 1 / 0 }}",
    "{{ l.append(1) }}",
    "{{ d.update({'a': 1}) }}",
    "{% set _ = l.append(1) %}",
    "{{ range(1000000) }}",
    "{% for x in 5 %}{% endfor %}",
    "{{ missing|tojson }}",
    "{{ s.nosuch() }}",
    "{{ nosuch() }}",
    "{{ s|nosuch }}",
    "{{ s is nosuch }}",
    "{% if %}{% endif %}",
    "{% for x in l %}",
    "{{ s ",
    "{% do l.append(1) %}",
    "{% include 'x' %}",
    "{{ '%s' % }}",
    "{% block b %}x{{ n }}{% endblock %}",
    "{{ s|trim ~ '\n' }}{{- '\n' }}x",
    "{{- '' }}\n{{ n }}\n\n{%- if t %} x{% endif %}\n",
    "{{ bos_token }}{% if add_generation_prompt %}x{% endif %}{{ tools is none }}{{ tools is defined }}{{ documents is none }}",
    "{% set tools = tools if tools else none %}{{ tools is none }}{% if not tools is defined %}x{% endif %}{% if tools is not none and tools|length %}y{% endif %}",
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}alt{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.content is string %}s{% elif m.content is iterable %}i{% endif %}{% if 'tool_calls' in m %}T{{ m.tool_calls|length }}{% endif %}{% endfor %}",
    "{% for a, v in messages[2].tool_calls[0].function.arguments|items %}{{ a }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{{ messages[2].tool_calls[0].function.arguments }}",
    "{{ messages[2].tool_calls[0].function.arguments|string }}",
    "{{ 'x: ' ~ messages[2].tool_calls[0].function.arguments }}",
    "{{ 'x: ' + messages[2].tool_calls[0].function.name }}",
    "{% set m = messages[2] %}{% if m.tool_calls is defined and m.tool_calls|length > 0 %}{% for tc in m['tool_calls'] %}{% set tc = tc.function %}{{ tc.name }}{% endfor %}{% endif %}",
    "{%- set ns = namespace(found=false, items=[]) %}{%- for m in messages %}{%- set ns.items = ns.items + [m.role] %}{%- endfor %}{{ ns.items }}{{ ns.items|join(',') }}",
    "{% set x = [] %}{% for m in messages %}{% set x = x + [m.role] %}{% endfor %}{{ x }}",
    "{{ '<think>a</think>b'.split('</think>')[-1].lstrip('\n') }}{{ '<think>a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1] }}",
    "{% if '</think>' in messages[1].content %}x{% else %}{{ messages[1].content.split('\n')|length }}{% endif %}",
    "line1 \\n {{ 'a\\nb' }} \\ {{ '\\\\' }}",
    "é {{ u }} 日本 {% if t %} ü {% endif %}\n",
    "\r\na\r\n{% if t %}\r\n  b\r\n{% endif %}\r\nc{{ '\r\n' }}|\r\n",
    "{{ n }}{#- x -#}\n\n  {{ n }}",
    "{%- if t -%}{%- set x = 1 -%}{%- endif -%}   x   {{- x -}}   y",
    "   {% set x = 1 %}   \n  {{ x }}",
    "{% if t %}\n\n  x\n\n{% endif %}\n\ny",
    "{{ '\\u00e9\\t\\x41' }}{{ \"\\'\" }}{{ '\\q' }}{{ 'a\\\nb' }}",
    "{{ 'a' 'b' ~ 'c' }}",
    "{{ {'a': 1, 'b': [1, {'c': none}]} | tojson(indent=2) | indent(4) }}",
    "{{ l|map('string')|map('length')|sum }}",
    "{{- s | trim | upper | replace('H', 'J') | length -}}",
    "{% for t in [1] %}{{ t }}{% endfor %}{{ t }}",
    "{% set loop_n = 0 %}{% for i in l %}{% if loop.first %}{% set loop_n = 5 %}{% endif %}{{ loop_n }}{% endfor %}",
    "{% for i in l %}{{ i }}{% if loop.index is divisibleby 2 %}e{% endif %}{% endfor %}",
    "{{ (l|length)|string + 'x' }}",
    "{% if s.strip().startswith('Hello') and not s.endswith('x') %}y{% endif %}",
    "{{ w|map('upper')|list|tojson }}",
    "{{ rows|map(attribute='v')|list|tojson }}{{ rows|map(attribute='k')|map('tojson')|join(', ') }}",
    "{%- for r in rows %}{{ '- ' ~ r.k ~ ': ' ~ (r.o|default('n/a')) ~ '\\n' }}{%- endfor %}",
    "{{ [1, 2, 3] | tojson }} {{ [1, 2, 3] | string }} {{ [1, 2, 3] | join(' | ') }}",
    "{% macro type(p) %}{% if p.type == 'array' %}{{ type(p['items']) }}[]{% elif p.type is iterable and p.type is not string %}{{ p.type|join(' | ') }}{% else %}{{ p.type }}{% endif %}{% endmacro %}{{ type({'type': 'array', 'items': {'type': ['string', 'null']}}) }}",
    "{{ d.items is defined }}{{ d.items is mapping }}{{ d['items'] is string }}{{ d.keys is callable }}",
    "{{ 'a' is in ['a'] }}{{ not 'a' is in ['a'] }}{{ 'a' is not string }}",
    "{{ loop }}",
    "{% for x in l %}{{ loop.nosuch is defined }}{% endfor %}",
    "{{ messages is sequence }}{{ messages[0] is mapping }}{{ messages is string }}{{ messages is mapping }}",
    "{{ 1 if 2 > 1 else 0 }}{{ [1 if t else 2, 3] }}",
    "{{ none is none }}{{ none is defined }}{{ none|default('x') }}{{ none|length if none else 0 }}",
    "{% set x = none %}{{ x }}{{ x or 'y' }}{{ x is none }}",
    "{{ 'a,b;c'.replace(',', ';').split(';')[1:] }}",
    "{{ '  a\\n'.rstrip() }}|{{ '\\x1ca\\x1f'.strip() }}|{{ '\\u00a0a\\u3000'.strip() }}",
    "{{ 'ab'.upper().lower().title() }}{{ ' a '.strip().replace('a', 'b') }}",
]

SPACES = ["", " ", "\n", "\n  ", "  \n", "\n\n", " \n \n ", "\t"]


def whitespace(rng):
    """Text and tags with every whitespace control in between."""
    out = [rng.choice(["", "a", " a", "a "])]
    depth = []
    for _ in range(rng.randint(1, 6)):
        out.append(rng.choice(SPACES))
        left = rng.choice(["", "", "-", "+"])
        right = rng.choice(["", "", "-"])
        kind = rng.choice(["if", "for", "set", "var", "comment", "end", "text", "generation", "raw"])
        block_right = rng.choice(["", "", "-", "+"])
        if kind == "if":
            out.append(f"{{%{left} if t {block_right}%}}")
            depth.append("endif")
        elif kind == "for":
            out.append(f"{{%{left} for x in [1, 2] {block_right}%}}")
            depth.append("endfor")
        elif kind == "generation":
            out.append(f"{{%{left} generation {block_right}%}}")
            depth.append("endgeneration")
        elif kind == "set":
            out.append(f"{{%{left} set q = 1 {block_right}%}}")
        elif kind == "var":
            out.append(f"{{{{{left.replace('+', '')} n {right}}}}}")
        elif kind == "comment":
            out.append(f"{{#{left} note {right}#}}")
        elif kind == "raw":
            out.append(f"{{%{left} raw {right}%}} {{{{ x }}}}\n {{%{rng.choice(['', '-'])} endraw {block_right}%}}")
        elif kind == "end" and depth:
            out.append(f"{{%{left} {depth.pop()} {block_right}%}}")
        else:
            out.append(rng.choice(["b", "<x>\n", "é", "{ }", "%"]))
    out.append(rng.choice(SPACES))
    while depth:
        out.append(f"{{% {depth.pop()} %}}")
        out.append(rng.choice(SPACES))
    return "".join(out)


TEXTS = ["s", "e", "u", "code", "lines", "messages[1].content", "'a'", "'b c'", "w[0]", "d.nope|default('D')"]
NUMBERS = ["n", "z", "m", "f", "1", "2.5", "l[0]", "d.b", "messages|length"]
LISTS = ["l", "w", "mixed", "rows", "messages", "[]", "[1, 'x']", "(1, 2)", "messages[1:]", "d.nested.x", "code.split(',')"]
DICTS = ["d", "messages[0]", "d.nested", "{'k': 1}", "rows[0]", "messages[2].tool_calls[0].function"]
OTHERS = ["t", "no", "true", "none", "missing"]


def text(rng, depth=0):
    """A random expression whose value is text."""
    if depth > 2 or rng.random() < 0.2:
        return rng.choice(TEXTS)
    sub = lambda: text(rng, depth + 1)
    kind = rng.randint(0, 7)
    if kind == 0:
        return f"({sub()} + {sub()})"
    if kind == 1:
        return f"({sub()} ~ {anything(rng, depth + 1)})"
    if kind == 2:
        methods = ["strip()", "upper()", "lower()", "title()", "replace('l', 'L')", "lstrip(' H')", "rstrip('\\n')", "capitalize()",
                   "split(',')[0]", "split()|join('_')", "replace('o', '', 1)", "strip('H!')", "splitlines()|join('/')", "center(9)",
                   "partition('o')[0]", "removeprefix(' ')", "zfill(4)"]
        return f"{sub()}.{rng.choice(methods)}"
    if kind == 3:
        return f"({sub()}|{rng.choice(['trim', 'upper', 'lower', 'title', 'capitalize', 'string', 'indent', 'tojson', 'reverse'])})"
    if kind == 4:
        return f"{sub()}{rng.choice(['[1:]', '[:-1]', '[::-1]', '[:2]', '[::2]', '[-3:]', '[0:1]', '[5:1:-1]'])}"
    if kind == 5:
        return f"({anything(rng, depth + 1)}|{rng.choice(['tojson', 'string', 'tojson(indent=2)', 'tojson(sort_keys=true)'])})"
    if kind == 6:
        return f"({items(rng, depth + 1)}|join({rng.choice(['', repr(', '), repr('-')])}))"
    return f"({sub()} if {truth(rng, depth + 1)} else {sub()})"


def number(rng, depth=0):
    if depth > 2 or rng.random() < 0.3:
        return rng.choice(NUMBERS)
    kind = rng.randint(0, 4)
    if kind == 0:
        return f"({number(rng, depth + 1)} {rng.choice(['+', '-', '*'])} {number(rng, depth + 1)})"
    if kind == 1:
        return f"({number(rng, depth + 1)} {rng.choice(['/', '//', '%'])} {rng.choice(['2', '3', '7', '-2', '2.5'])})"
    if kind == 2:
        return f"({items(rng, depth + 1)}|length)"
    if kind == 3:
        return f"({number(rng, depth + 1)}|{rng.choice(['int', 'float', 'abs', 'round', 'round(1)'])})"
    return f"{text(rng, depth + 1)}.{rng.choice(['find', 'rfind', 'count'])}('l')"


def items(rng, depth=0):
    if depth > 2 or rng.random() < 0.3:
        return rng.choice(LISTS)
    sub = lambda: items(rng, depth + 1)
    kind = rng.randint(0, 5)
    if kind == 0:
        return f"({sub()}|list + {sub()}|list)"
    if kind == 1:
        return f"{sub()}{rng.choice(['[1:]', '[:-1]', '[::-1]', '[:2]', '[::2]', '[-1:]'])}"
    if kind == 2:
        return f"({sub()}|{rng.choice(['reverse|list', 'list', 'select|list', 'reject|list', 'batch(2)|list'])})"
    if kind == 3:
        return f"({sub()}|map('string')|list)"
    if kind == 4:
        return f"[{anything(rng, depth + 1)}, {text(rng, depth + 1)}]"
    return f"{rng.choice(DICTS)}.{rng.choice(['keys()', 'values()', 'items()'])}|list"


def truth(rng, depth=0):
    kind = rng.randint(0, 6) if depth < 3 else 0
    if kind == 0:
        test = ["string", "mapping", "sequence", "iterable", "number", "defined", "none", "boolean", "integer", "float", "true", "false"]
        return f"({anything(rng, depth + 1)} is {rng.choice(['', 'not '])}{rng.choice(test)})"
    if kind == 1:
        return f"({number(rng, depth + 1)} {rng.choice(['<', '>', '<=', '>=', '==', '!='])} {number(rng, depth + 1)})"
    if kind == 2:
        return f"({text(rng, depth + 1)} {rng.choice(['<', '>', '==', '!=', 'in', 'not in'])} {text(rng, depth + 1)})"
    if kind == 3:
        return f"({anything(rng, depth + 1)} {rng.choice(['==', '!='])} {anything(rng, depth + 1)})"
    if kind == 4:
        return f"({anything(rng, depth + 1)} {rng.choice(['in', 'not in'])} {items(rng, depth + 1)})"
    if kind == 5:
        return f"(not {anything(rng, depth + 1)})"
    return f"({text(rng, depth + 1)}.{rng.choice(['startswith', 'endswith'])}({text(rng, depth + 1)}))"


def anything(rng, depth=0):
    kind = rng.randint(0, 7)
    if kind == 0:
        return text(rng, depth)
    if kind == 1:
        return number(rng, depth)
    if kind == 2:
        return items(rng, depth)
    if kind == 3:
        return rng.choice(DICTS)
    if kind == 4:
        return truth(rng, depth)
    if kind == 5:
        return f"({anything(rng, depth + 1)} {rng.choice(['and', 'or'])} {anything(rng, depth + 1)})" if depth < 3 else "n"
    if kind == 6:
        return f"{{'a': {text(rng, depth + 1)}, 'b': {number(rng, depth + 1)}}}"
    return rng.choice(OTHERS)


def generate(seed, count):
    """Yields template, messages, variables: the fixed list, then `count` random ones."""
    for line in EXPRESSIONS.strip().splitlines():
        yield "{{ " + line.strip() + " }}", MESSAGES, VARIABLES
    for template in STATEMENTS:
        yield template, MESSAGES, VARIABLES
    rng = random.Random(seed)
    for index in range(count):
        template = whitespace(rng) if index % 3 == 0 else "{{ " + anything(rng) + " }}"
        yield template, MESSAGES, VARIABLES
