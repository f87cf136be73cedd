import type { MachinePlan, PlannedCard, PlannedDisk, PlannedPeer } from './machine-plan.ts'

/** The machine itself, whichever devices it has. */
type PlannedMachine = Omit<MachinePlan, 'firmware' | 'card' | 'peer'>

/** Who makes the socket between two machines, and who finds it there. */
type CableEnd = 'server' | 'client'

/** The arguments by which QEMU has the machine of a plan and no other device, without KVM: its manual, sections 2.3 and 2.5 (invocation). */
export function qemuArguments({ card, peer, ...machine }: MachinePlan): string[] {
  const devices = [...card === undefined ? [] : cardArguments(card), ...peer === undefined ? [] : cableArguments(peer.socket, 'client')]
  return machineArguments(machine, devices)
}

/** The same for the other machine of a plan. It is to run already when the first one starts. */
export function qemuPeerArguments({ socket, ...machine }: PlannedPeer): string[] {
  return machineArguments(machine, cableArguments(socket, 'server'))
}

function machineArguments({ kernel, initrd, commandLine, memoryBytes, disks = [] }: PlannedMachine, devices: readonly string[]): string[] {
  return [
    '-accel', 'tcg', '-m', `${memoryBytes / 1024 ** 2}M`, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio',
    ...disks.flatMap(diskArguments), ...devices,
    '-kernel', kernel, ...initrd === undefined ? [] : ['-initrd', initrd], '-append', commandLine,
  ]
}

const ACCESS: Readonly<Record<PlannedDisk['access'], string>> = { 'read-only': ',readonly=on', 'overlay': ',snapshot=on', 'write': '' }

/** With the host's cache, as is its default and as Tenon's disks are. */
function diskArguments({ path, format, access }: PlannedDisk, index: number): string[] {
  const drive = `if=none,id=disk${index},format=${format},file=${value(path)}${ACCESS[access]}`
  return ['-drive', drive, '-device', `nvme,drive=disk${index},serial=bench${index}`]
}

/** The ports of the host's loopback are at the gateway's address, all of them. */
function cardArguments({ publish }: PlannedCard): string[] {
  const ports = publish.map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join('')
  return ['-netdev', `user,id=network${ports}`, '-device', 'virtio-net-pci,netdev=network,mac=52:54:00:00:00:01,romfile=']
}

/** Frames one after another through a stream: the way between two guests that needs no rights. */
function cableArguments(socket: string, end: CableEnd): string[] {
  const [server, mac] = end === 'server' ? ['on', '52:54:00:00:00:03'] : ['off', '52:54:00:00:00:02']
  const stream = `stream,id=cable,server=${server},addr.type=unix,addr.path=${value(socket)}`
  return ['-netdev', stream, '-device', `virtio-net-pci,netdev=cable,mac=${mac},romfile=`]
}

/** In a list of options, a comma in a value is doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,')
}
