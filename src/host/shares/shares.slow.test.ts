/**
 * Shared folders of the built machine, used by the stock driver (virtiofs) of Debian's kernel in the image `busybox`. The build must be
 * up to date: `npm test` sees to it.
 */
import { createHash } from 'node:crypto'
import {
  existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TenonError } from '../../base/errors.ts'
import { byteLength, gather, scatter } from '../../storage/buffers.ts'
import { FuseClient } from '../../storage/fuse/testing/fuse-client.ts'
import { imageUnavailable } from '../../../test/images.ts'
import { startImageSession } from '../guest/image-session.ts'
import { openImage } from '../images/open-image.ts'
import { MachineChannel } from '../machine/channel.ts'
import type { StartMachine } from '../machine/session.ts'
import type { GuestShare } from './guest-share.ts'
import { ShareChannel } from './share-channel.ts'
import type { ShareOrder } from './share-order.ts'
import { ShareQueue } from './share-queue.ts'
import type { ShareThread } from './share-thread.ts'

const LONG = 900_000
const MEMORY = 256 * 1024 ** 2
const unavailable = await imageUnavailable()

let startMachine: StartMachine
let Thread: typeof ShareThread
let outside: string
beforeAll(async () => {
  const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  startMachine = (await import(compiled.href) as { startMachine: StartMachine }).startMachine
  Thread = (await import(new URL('../shares/share-thread.js', compiled).href) as { ShareThread: typeof ShareThread }).ShareThread
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
    startMachine, memoryBytes: MEMORY, image: await openImage('busybox'), shares, stdin: Readable.from([]), stdout, stderr,
    bootTimeoutMs: LONG, request: { mode: 'with_pipes', argv: ['sh', '-c', script], environment: {} },
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
cp /bin/busybox busybox; ./busybox echo ran
step move much data
dd if=/dev/urandom of=big bs=1M count=64 2>/dev/null
sha256sum <big
sync; echo 3 >/proc/sys/vm/drop_caches
sha256sum <big
dd if=big of=part bs=64k count=32 skip=5 oflag=direct 2>/dev/null; sha256sum <part
step mount anew
cd /; umount /mnt/src; mount -t virtiofs share0 /mnt/src; cat /mnt/src/hello
dmesg | grep -E 'BUG:|Oops|virtiofs.*error' || true
`

/** A guest's kernel that speaks with a share thread, and waits for each answer. */
class ThreadClient {
  readonly client: FuseClient
  readonly thread: ShareThread

  constructor(thread: ShareThread) {
    const { memory, infos, port } = thread.forMachine
    const queue = new ShareQueue(new ShareChannel(memory), infos)
    const pool = new Uint8Array(new SharedArrayBuffer(1 << 16))
    port.postMessage(pool.buffer)
    this.thread = thread
    this.client = new FuseClient({
      serve(message, reply) {
        const [request, room] = [gather(message), pool.subarray(1 << 15, (1 << 15) + byteLength(reply))]
        pool.set(request)
        const answer = { length: -1 }
        queue.shares[0].submit({ message: [pool.subarray(0, request.length)], reply: [room], done: (length) => { answer.length = length } })
        while (answer.length < 0) queue.settle()
        scatter(reply, room)
        return answer.length
      },
    })
  }
}

describe('a share thread', () => {
  const open = async (order: Partial<ShareOrder>): Promise<ThreadClient> => {
    const failed = (error: TenonError): never => { throw error }
    return new ThreadClient(await Thread.start([{ path: outside, tag: 'test', ...order }], new MachineChannel(), failed))
  }

  test('serves, is saved, and another one goes on', async () => {
    const folder = join(outside, 'thread')
    mkdirSync(folder)
    const { client, thread } = await open({ path: folder })
    client.mount()
    const { entry, handle } = client.create(1, 'file', 2)
    client.write(handle, 0, 'from a guest')
    const [state] = await thread.save()
    await thread.close()
    await expect(thread.save()).rejects.toMatchObject({ code: 'SHARE_THREAD_FAILED' })
    const after = await open({ path: folder, state })
    expect(after.client.read(handle, 5, 99)).toBe('a guest')
    expect(after.client.lookup(1, 'file').node).toBe(entry.node)
    await after.thread.close()
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('from a guest')
    rmSync(folder, { recursive: true })
  })

  test('is refused with a reason, and closes before anything was asked of it', async () => {
    await expect(open({ path: join(outside, 'none') })).rejects.toMatchObject({ code: 'SHARE_UNFIT' })
    await expect(open({ tag: 'x'.repeat(37) })).rejects.toMatchObject({ code: 'SHARE_UNFIT' })
    await expect(open({ state: { mounted: 1 } })).rejects.toMatchObject({ code: 'SNAPSHOT_INVALID' })
    await (await Thread.start([{ path: outside, tag: 'a' }], new MachineChannel(), () => {})).close()
  })
})

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
    expect([status, stdout], stderr).toEqual([0, [
      'hello from the host', 'one', 'two', '2', '150', '150', '142', '5', 'tenon', 'in the guest', 'kept', 'ran',
      `${sha256('big')}  -`, `${sha256('big')}  -`, `${sha256('part')}  -`, 'hello from the host', '',
    ].join('\n')])
    const big = bytes('big')
    expect([big.length, big.subarray(5 << 16, 37 << 16).equals(bytes('part'))]).toEqual([64 << 20, true])
    expect([statSync(join(folder, 'b')).mode & 0o777, statSync(join(folder, 'b')).mtimeMs]).toEqual([0o640, Date.UTC(2020, 0, 2, 3, 4, 5)])
    expect([readlinkSync(join(folder, 'own')), lstatSync(join(folder, 'hard')).nlink]).toEqual(['/etc/hostname', 2])
    expect(readdirSync(outside).toSorted()).toEqual(['read-only', 'secret', 'shared'])
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('not yours')
    expect(readdirSync(readOnly)).toEqual(['kept'])
  }, LONG)
})
