// Two clients on two nodes: `clients.js cross ONE OTHER RECORD` proves that a record and an event cross from one node to
// the other, and `clients.js read NODE RECORD` prints what a record holds. Nodes are `host:port`.
const { DeepstreamClient } = require('@deepstream/client')

const within = (what, promise) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} did not happen within 20 s`)), 20000)),
  ])

async function client(node) {
  const client = new DeepstreamClient(node)
  client.on('error', (error, event, topic) => console.error(node, error, event, topic))
  await within(`a login on ${node}`, client.login())
  return client
}

async function cross(one, other, name) {
  const [a, b] = [await client(one), await client(other)]
  const read = b.record.getRecord(name)
  await within('the record on the other node', read.whenReady())
  const seen = new Promise((resolve) => read.subscribe('value', (value) => value === 42 && resolve()))
  const written = a.record.getRecord(name)
  await within('the record on the one node', written.whenReady())
  await within('the write', written.setWithAck('value', 42))
  await within('the change on the other node', seen)

  const heard = new Promise((resolve) => b.event.subscribe('greeting', resolve))
  // The other node is told of the subscription in its own time, so the event is sent until it is heard.
  const sending = setInterval(() => a.event.emit('greeting', 'hello'), 100)
  const greeting = await within('the event on the other node', heard)
  clearInterval(sending)
  if (greeting !== 'hello') throw new Error(`heard ${greeting}`)
}

async function read(node, name) {
  const there = await client(node)
  console.log(JSON.stringify(await within('the read', there.record.snapshot(name))))
}

const [mode, ...rest] = process.argv.slice(2)
const run = mode === 'cross' ? cross : read
run(...rest).then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)
