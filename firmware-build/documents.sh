#!/bin/sh
# Checks OpenAPI and AsyncAPI documents by their own tools, which npm fetches into a folder of their own.
set -eu
dir=${TMPDIR:-/tmp}/posdx-documents
mkdir -p "$dir"
command -v npm >/dev/null || { echo "documents: skipped, npm is not installed" >&2; exit 0; }
[ -d "$dir/node_modules/@redocly" ] || npm install --prefix "$dir" --no-audit --no-fund --silent @redocly/cli@2 @asyncapi/parser@3
cat >"$dir/check.mjs" <<'J'
import { Parser, fromFile } from '@asyncapi/parser';
const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
for (const d of diagnostics) if (d.severity < 2) console.error(['error', 'warning'][d.severity], d.path.join('.'), d.message);
console.log(document ? `${process.argv[2]}: valid AsyncAPI ${document.version()}, ${document.channels().all().length} channels` : `${process.argv[2]}: not valid`);
process.exit(document && !diagnostics.some((d) => d.severity === 0) ? 0 : 1);
J
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$dir/node_modules/.bin/redocly" lint fleet/api/openapi.json
node "$dir/check.mjs" agent/report/schema/asyncapi.yaml
