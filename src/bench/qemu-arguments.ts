import type { MachinePlan, PlannedCard, PlannedDisk } from './machine-plan.ts'

/** The arguments by which QEMU has the machine of a plan and no other device, without KVM: its manual, sections 2.3 and 2.5 (invocation). */
export function qemuArguments({ kernel, initrd, commandLine, memoryBytes, disks = [], card }: MachinePlan): string[] {
  return [
    '-accel', 'tcg', '-m', `${memoryBytes / 1024 ** 2}M`, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio',
    ...disks.flatMap(diskArguments),
    ...card === undefined ? [] : cardArguments(card),
    '-kernel', kernel, ...initrd === undefined ? [] : ['-initrd', initrd], '-append', commandLine,
  ]
}

const ACCESS: Readonly<Record<PlannedDisk['access'], string>> = { 'read-only': ',readonly=on', 'overlay': ',snapshot=on', 'write': '' }

/** With the host's cache, as is its default and as Tenon's disks are. In a list of options, a comma in a value is doubled. */
function diskArguments({ path, format, access }: PlannedDisk, index: number): string[] {
  const drive = `if=none,id=disk${index},format=${format},file=${path.replaceAll(',', ',,')}${ACCESS[access]}`
  return ['-drive', drive, '-device', `nvme,drive=disk${index},serial=bench${index}`]
}

function cardArguments({ publish }: PlannedCard): string[] {
  const ports = publish.map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join('')
  return ['-netdev', `user,id=network${ports}`, '-device', 'virtio-net-pci,netdev=network,romfile=']
}
