import { describe, expect, it } from 'vitest'
import type { MachinePlan } from './machine-plan.ts'
import { qemuArguments, qemuPeerArguments } from './qemu-arguments.ts'

const PLAN: MachinePlan = { kernel: 'kernel', commandLine: 'console=ttyS0', memoryBytes: 256 * 1024 ** 2 }

/** What follows an option, each time. */
function after(args: readonly string[], option: string): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1]] : []))
}

describe('qemuArguments', () => {
  it('has no device that the plan has not', () => {
    const args = qemuArguments(PLAN)
    expect(args).toContain('-nodefaults')
    expect([after(args, '-m'), after(args, '-device'), after(args, '-netdev'), after(args, '-initrd')]).toEqual([['256M'], [], [], []])
  })

  it('has the disks in their order, written to as the plan says', () => {
    const disks = [{ path: 'a,b', format: 'raw', access: 'read-only' }, { path: 'c', format: 'qcow2', access: 'overlay' }, { path: 'd', format: 'raw', access: 'write' }] as const
    expect(after(qemuArguments({ ...PLAN, disks }), '-drive')).toEqual([
      'if=none,id=disk0,format=raw,file=a,,b,readonly=on', 'if=none,id=disk1,format=qcow2,file=c,snapshot=on', 'if=none,id=disk2,format=raw,file=d',
    ])
  })

  it('leads ports of the host\'s to the guest', () => {
    const card = { publish: [{ host: 4000, guest: 80 }, { host: 4001, guest: 81 }], hostPorts: [5000] }
    expect(after(qemuArguments({ ...PLAN, card }), '-netdev')).toEqual(['user,id=network,hostfwd=tcp:127.0.0.1:4000-:80,hostfwd=tcp:127.0.0.1:4001-:81'])
  })

  it('joins two machines: the peer makes the socket, the other finds it, and their cards differ', () => {
    const peer = { ...PLAN, socket: 'cable' }
    const [own, others] = [qemuArguments({ ...PLAN, card: { publish: [], hostPorts: [] }, peer }), qemuPeerArguments(peer)]
    expect(after(own, '-netdev').at(-1)).toBe('stream,id=cable,server=off,addr.type=unix,addr.path=cable')
    expect(after(others, '-netdev')).toEqual(['stream,id=cable,server=on,addr.type=unix,addr.path=cable'])
    const macs = [...after(own, '-device'), ...after(others, '-device')].map(device => /mac=([\d:]+)/.exec(device)?.[1])
    expect(new Set(macs).size).toBe(3)
  })
})
