import { MARKER } from '../markers.ts'
import type { Workload } from '../workloads.ts'

/** The guest's first process: runs the workloads one after another, says on the console where it is, and stops the machine. */
export function initScript(workloads: readonly Workload[]): string {
  return [
    '#!/bin/busybox sh',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox --install -s',
    'export PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    `echo '${MARKER} user-space'`,
    ...workloads.flatMap(runWorkload),
    `echo '${MARKER} done'`,
    'poweroff -f',
    '',
  ].join('\n')
}

function runWorkload({ name, prepare, script, verify }: Workload): string[] {
  return [
    ...prepare === undefined ? [] : [prepare],
    `echo '${MARKER} begin ${name}'`,
    `{ ${script}`,
    '} >/tmp/answer 2>&1',
    `echo '${MARKER} end ${name}'`,
    ...verify === undefined ? [] : [`{ ${verify}`, '} >/tmp/answer 2>&1'],
    `echo "${MARKER} answer ${name} $(head -c 200 /tmp/answer)"`,
  ]
}
