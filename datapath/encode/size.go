package encode

// BlobFirst is where generations may start in the kernel's map: its first word is the current one's place.
const BlobFirst = 64

// BlobSize is the size of the map for generations of the given size: two halves, for a swap, each a quarter larger than
// needed.
func BlobSize(size int) uint64 {
	const step = 1 << 20
	half := uint64(size) + uint64(size)/4
	return (2*half + BlobFirst + step) / step * step
}
