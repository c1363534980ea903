# What came of the tests, out of nextest's JUnit report or the log of `cargo test -- --show-output`:
# `passed N`, `failed N`, and for each test that said `skipped: why` a line: skipped, which, why; with tabs between.

function text(xml) {
    gsub(/&lt;/, "<", xml)
    gsub(/&gt;/, ">", xml)
    gsub(/&quot;/, "\"", xml)
    gsub(/&apos;/, "'", xml)
    gsub(/&#10;/, "", xml)
    gsub(/&amp;/, "\\&", xml)
    return xml
}

function attribute(name,    start) {
    start = index($0, " " name "=\"")
    return start ? text(substr($0, start + length(name) + 3, index(substr($0, start + length(name) + 3), "\"") - 1)) : ""
}

# JUnit: what a test printed may look like the log of cargo test.
/<testsuites / { junit = 1; failed = attribute("failures") + attribute("errors"); passed = attribute("tests") - failed }
/<testcase / { test = attribute("classname") " " attribute("name") }
/<(failure|error) / { test = "" }
{ sub(/^.*<system-(out|err)>/, "") }

# cargo test.
!junit && /^ +Running / { program = $0; sub(/^ +Running (unittests )?/, "", program); sub(/ .*/, "", program) }
!junit && /^---- .* stdout ----$/ { test = program " " $2 }
!junit && /^failures:$/ { test = "" }
!junit && /^test result:/ { passed += $4; failed += $6 }

/^skipped: / && test != "" {
    sub(/<\/system-.*/, "")
    print "skipped\t" test "\t" text(substr($0, 10))
    test = ""
}

END {
    print "passed " passed + 0
    print "failed " failed + 0
}
