package desired

// validator checks what the parts of a file say of one another.
type validator struct {
	*walker
	f *File
}

func (v *validator) validate() {
}
