#!/bin/sh
# Signatures computed by another program than the one that verifies them. Made with OpenSSL 3.0.19:
#
#	sh vectors.sh > vectors.txt
#
# One vector a line: name, algorithm, and in base64 the secret, the body and the digest.
set -eu
body=$(mktemp)
trap 'rm -f "$body"' EXIT

vector() { # name algorithm secret body, the body with printf's escapes
	printf '%b' "$4" > "$body"
	printf '%s %s %s %s %s\n' "$1" "$2" \
		"$(printf %s "$3" | openssl base64 -A)" \
		"$(openssl base64 -A -in "$body")" \
		"$(openssl dgst "-$2" -hmac "$3" -binary "$body" | openssl base64 -A)"
}

secret=8vM2qXz7Lr4TnWc1
long=$(printf 'b7Kd%.0s' $(seq 1 40))
event='{"id":"evt_01HZXN8Y9K0M7R6Q5P4N3T2S1A","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"ld_123"}}'

for algorithm in sha256 sha384 sha512; do
	vector plain            "$algorithm" "$secret" "$event"
	vector pretty-printed   "$algorithm" "$secret" '{\n  "id": "evt_1",\r\n\t"type" : "lead.created"\n}\n'
	vector byte-order-mark  "$algorithm" "$secret" '\0357\0273\0277{"id":"evt_1"}'
	vector invalid-utf8     "$algorithm" "$secret" '{"id":"\0377\0300\0200"}'
	vector nul-bytes        "$algorithm" "$secret" '\0000\0000\0001'
	vector escapes          "$algorithm" "$secret" '{"id":"\\u0065vt"}'
	vector empty-body       "$algorithm" "$secret" ''
	vector utf8-secret      "$algorithm" 'пароль-Ключ-7Zq' "$event"
	vector secret-with-equals "$algorithm" 'c2VjcmV0LWtleQ==+/x9' "$event"
	vector secret-over-block  "$algorithm" "$long" "$event"
done
