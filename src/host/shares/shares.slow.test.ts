/**
 * Shared folders of the built machine, used by the stock driver (virtiofs) of Debian's kernel in the image `busybox`. The build must be
 * up to date: `npm test` sees to it.
 */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageUnavailable } from '../../../test/images.ts'
import { startImageSession } from '../guest/image-session.ts'
import { openImage } from '../images/open-image.ts'
import type { StartMachine } from '../machine/session.ts'
import type { GuestShare } from './guest-share.ts'

const LONG = 900_000
const MEMORY = 256 * 1024 ** 2
const unavailable = await imageUnavailable()

let startMachine: StartMachine
let outside: string
beforeAll(async () => {
  const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  startMachine = (await import(compiled.href) as { startMachine: StartMachine }).startMachine
  outside = mkdtempSync(join(tmpdir(), 'tenon-shares-'))
})
afterAll(() => rmSync(outside, { recursive: true }))

async function runGuest(script: string, shares: readonly GuestShare[]): Promise<{ status: number, stdout: string, stderr: string }> {
  const output = ['', '']
  const [stdout, stderr] = output.map((_, index) => new Writable({
    write(chunk: Buffer, _encoding, done) {
      output[index] += chunk.toString()
      done()
    },
  }))
  const session = await startImageSession({
    startMachine, memoryBytes: MEMORY, image: await openImage('busybox'), shares, stdin: Readable.from([]), stdout, stderr, bootTimeoutMs: LONG,
    request: { mode: 'with_pipes', argv: ['sh', '-c', script], environment: {} },
  })
  const status = await session.status
  return { status, stdout: output[0], stderr: output[1] }
}

const SCRIPT = `set -e
fails() { if "$@" 2>/dev/null; then echo "$* did not fail"; fi; }
step() { echo "$*" >&2; }
cd /mnt/src
step read and write
cat hello
echo one >a; echo two >>a; mv a b; cat b
ln b hard; stat -c %h b; chmod 640 b; touch -d '2020-01-02 03:04:05' b
mkdir -p d/e; for n in $(seq 1 150); do echo $n >d/e/$n; done
ls d/e | wc -l; cat d/e/* | wc -l; rm d/e/1?; find d | wc -l
exec 3<>gone; rm gone; echo kept >&3; stat -L -c %s /proc/self/fd/3; exec 3>&-
step stay inside
fails cat escape; fails cat escape-absolute; fails touch escape/new; fails cat ../secret
ln -s /etc/hostname own; cat own; ln -s ../secret out; fails cat out; echo 'in the guest' >out; cat ../secret
fails mknod device c 1 3; fails chmod 4755 b; fails chown 1000 b; fails touch /mnt/ro/new; fails rm /mnt/ro/kept
cat /mnt/ro/kept
step run a program from it, by mmap
cp /bin/busybox program; ./program echo ran
step move much data
dd if=/dev/urandom of=big bs=1M count=64 2>/dev/null
sha256sum <big
sync; echo 3 >/proc/sys/vm/drop_caches
sha256sum <big
dd if=big of=part bs=64k count=32 skip=5 oflag=direct 2>/dev/null; sha256sum <part
step mount anew
cd /; umount /mnt/src; mount -t virtiofs share0 /mnt/src; cat /mnt/src/hello
dmesg | grep -i -E 'bug|oops|virtiofs.*error' || true
`

describe.skipIf(unavailable)('a guest with shares', () => {
  test('works in its folders and does not get out', async () => {
    const [folder, readOnly] = [join(outside, 'shared'), join(outside, 'read-only')]
    for (const path of [folder, readOnly]) mkdirSync(path)
    writeFileSync(join(outside, 'secret'), 'not yours')
    writeFileSync(join(folder, 'hello'), 'hello from the host\n')
    writeFileSync(join(readOnly, 'kept'), 'kept\n')
    symlinkSync('../secret', join(folder, 'escape'))
    symlinkSync(outside, join(folder, 'escape-absolute'))
    const { status, stdout, stderr } = await runGuest(SCRIPT, [
      { path: folder, mountPoint: '/mnt/src' }, { path: readOnly, mountPoint: '/mnt/ro', readOnly: true },
    ])
    const bytes = (name: string): Buffer => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : Buffer.alloc(0))
    const sha256 = (name: string): string => createHash('sha256').update(bytes(name)).digest('hex')
    expect([status, stdout], stderr).toEqual([0, ['hello from the host', 'one', 'two', '2', '150', '150', '142', '5', 'tenon', 'in the guest', 'kept', 'ran',
      `${sha256('big')}  -`, `${sha256('big')}  -`, `${sha256('part')}  -`, 'hello from the host', ''].join('\n')])
    const big = bytes('big')
    expect([big.length, big.subarray(5 << 16, 37 << 16).equals(bytes('part'))]).toEqual([64 << 20, true])
    expect([statSync(join(folder, 'b')).mode & 0o777, statSync(join(folder, 'b')).mtimeMs]).toEqual([0o640, Date.UTC(2020, 0, 2, 3, 4, 5)])
    expect([readlinkSync(join(folder, 'own')), lstatSync(join(folder, 'hard')).nlink]).toEqual(['/etc/hostname', 2])
    expect([readdirSync(outside).toSorted(), readFileSync(join(outside, 'secret'), 'utf8')]).toEqual([['read-only', 'secret', 'shared'], 'not yours'])
    expect(readdirSync(readOnly)).toEqual(['kept'])
  }, LONG)
})
