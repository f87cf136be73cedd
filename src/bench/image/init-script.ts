import { MARKER } from '../markers.ts'
import type { Workload } from '../workloads.ts'

/**
 * The guest's first process: sets the guest up, runs the workloads one after another, says on the console where it is, and stops the
 * machine.
 */
export function initScript(workloads: readonly Workload[], setUp: readonly string[] = []): string {
  return [
    '#!/bin/busybox sh',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox --install -s',
    'export PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    `echo '${MARKER} user-space'`,
    ...setUp,
    ...runWorkloads(workloads, '/tmp'),
    'poweroff -f',
    '',
  ].join('\n')
}

/** The lines of a shell that run the workloads, with their files in `folder`, and say so on standard output. */
export function runWorkloads(workloads: readonly Workload[], folder: string): string[] {
  return [...workloads.flatMap(each => runWorkload(each, folder)), `echo '${MARKER} done'`]
}

function runWorkload({ name, prepare, script, verify, timesItself }: Workload, folder: string): string[] {
  return [
    ...prepare === undefined ? [] : [prepare],
    `echo '${MARKER} begin ${name}'`,
    ...timesItself ? ['read -r began rest </proc/uptime'] : [],
    `{ ${script}`,
    `} >${folder}/answer 2>${timesItself ? `${folder}/seconds` : '&1'}`,
    ...timesItself ? ['read -r ended rest </proc/uptime'] : [],
    `echo '${MARKER} end ${name}'`,
    ...timesItself ? [`echo "${MARKER} seconds ${name} $(head -c 200 ${folder}/seconds) $began $ended"`] : [],
    ...verify === undefined ? [] : [`{ ${verify}`, `} >${folder}/answer 2>&1`],
    `echo "${MARKER} answer ${name} $(head -c 200 ${folder}/answer)"`,
  ]
}
