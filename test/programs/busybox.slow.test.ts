/** Programs in a booted Debian give the host's answers: hashes, compression, arithmetic, files. One boot for all of them. */
import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import { beforeAll, expect, it } from 'vitest'
import { imageUnavailable } from '../images.ts'

const COMMAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const BOOT_LIMIT_MS = 300_000
const LINES = 20_000

/** Shell fragments by name. What each prints between its markers is its answer. */
const PROGRAMS: Record<string, string> = {
  input: `seq 1 ${LINES} > /tmp/in; wc -c < /tmp/in`,
  sha256: 'sha256sum < /tmp/in',
  sha1: 'sha1sum < /tmp/in',
  md5: 'md5sum < /tmp/in',
  sha512: 'sha512sum < /tmp/in',
  gzip: 'gzip -c /tmp/in | base64 | tr -d "\\n"; echo',
  gunzip: `echo ${gzipSync(numbers()).toString('base64')} | base64 -d | gunzip | md5sum`,
  sort: 'sort -r /tmp/in | md5sum',
  // This BusyBox's awk has no sqrt and its like.
  awk: `awk 'BEGIN { for (i = 1; i <= 1000; i++) x = x * 0.75 + i / 7 - (i % 13) / 3; printf "%.12g %d\\n", x, int(-7.9) }'`,
  bc: 'echo "2^200 - 3^100; scale=30; 22/7; sqrt(2); scale=25; a(1)*4; e(1)" | bc -l',
  files: 'mkdir -p /tmp/t/a/b; for i in 1 2 3; do echo $i > /tmp/t/a/b/$i; done; ln -s b /tmp/t/a/c; mv /tmp/t/a/b/2 /tmp/t/x; '
    + 'chmod 640 /tmp/t/x; stat -c "%a %s" /tmp/t/x; cat /tmp/t/a/c/3; find /tmp/t | sort | md5sum; rm -r /tmp/t; ls /tmp/t 2>&1 | wc -l',
  sparse: 'dd if=/dev/zero of=/tmp/s bs=1 seek=1000000 count=1 2>/dev/null; stat -c %s /tmp/s; md5sum < /tmp/s',
}

function numbers(): Buffer { return Buffer.from(Array.from({ length: LINES }, (_, i) => `${i + 1}\n`).join('')) }
const digest = (algorithm: string, data: Uint8Array | string): string => createHash(algorithm).update(data).digest('hex')

const answers = new Map<string, string>()
const unavailable = await imageUnavailable()

beforeAll(async () => {
  if (unavailable !== undefined) return
  const script = Object.entries(PROGRAMS).map(([name, program]) => `echo '@@${name}'; ${program}`).join('\n')
  const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, 'run', '--', 'sh', '-c', script], { maxBuffer: 2 ** 26 })
  for (const part of stdout.split('@@').slice(1)) {
    const end = part.indexOf('\n')
    answers.set(part.slice(0, end), part.slice(end + 1).trimEnd())
  }
}, BOOT_LIMIT_MS)

const check = (name: string, expected: string): void => {
  it.skipIf(unavailable !== undefined)(name, () => { expect(answers.get(name)).toBe(expected) })
}

check('input', String(numbers().length))
for (const algorithm of ['sha256', 'sha1', 'md5', 'sha512']) check(algorithm, `${digest(algorithm, numbers())}  -`)
check('gunzip', `${digest('md5', numbers())}  -`)
check('sort', `${digest('md5', `${numbers().toString().trimEnd().split('\n').toSorted().toReversed().join('\n')}\n`)}  -`)
check('awk', awkAnswer())
check('bc', [String(2n ** 200n - 3n ** 100n), '3.142857142857142857142857142857', '1.414213562373095048801688724209',
  '3.1415926535897932384626432', '2.7182818284590452353602874'].join('\n'))
check('files', ['640 2', '3', `${digest('md5', ['/tmp/t', '/tmp/t/a', '/tmp/t/a/b', '/tmp/t/a/b/1', '/tmp/t/a/b/3', '/tmp/t/a/c', '/tmp/t/x', ''].join('\n'))}  -`, '1'].join('\n'))
check('sparse', `1000001\n${digest('md5', new Uint8Array(1_000_001))}  -`)

it.skipIf(unavailable !== undefined)('gzip', () => {
  expect(gunzipSync(Buffer.from(answers.get('gzip') ?? '', 'base64')).equals(numbers())).toBe(true)
})

/** The same steps in the host's doubles. */
function awkAnswer(): string {
  let x = 0
  for (let i = 1; i <= 1000; i++) x = x * 0.75 + i / 7 - (i % 13) / 3
  return `${Number(x.toPrecision(12))} -7`
}
