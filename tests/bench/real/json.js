// Parses and prints JSON; prints how many documents it has done, twice a second.
let done = 0, shown = Date.now();

function document(n) {
	return {id: n, name: 'item ' + n, tags: ['a', 'b', 'c'], nested: {x: n / 3, y: [n, n + 1]}};
}

function turn() {
	for (let i = 0; i < 2000; i++)
		JSON.parse(JSON.stringify(document(done++)));
	if (Date.now() - shown > 500) {
		shown = Date.now();
		console.log(done);
	}
	setImmediate(turn);
}
turn();
